// Who is signed in. The key is kept in the tab's session storage: it survives a reload, ends with the
// tab, and is never in an address, a cookie or the page.
import { get, useKey } from "./api/client";
import type { Me } from "./api/types";
import { store } from "./store";

const KEY = "postrider.key";
const ACCOUNT = "postrider.account";

export type Session =
  | { state: "starting" }
  | { state: "out" }
  /** Signed in; `expired` once the server turned the key away, so that a form on the screen is kept. */
  | { state: "in"; me: Me; expired: boolean };

export const session = store<Session>({ state: "starting" });

/** The account whose things are shown; empty for all that the key sees. */
export const chosenAccount = store<string>("");

export function chooseAccount(id: string): void {
  sessionStorage.setItem(ACCOUNT, id);
  chosenAccount.set(id);
}

function unauthorized(): void {
  const now = session.get();
  if (now.state === "in") session.set({ ...now, expired: true });
}

/** Signs in with `key`; throws the failure of the call if the server does not take it. */
export async function signIn(key: string): Promise<void> {
  useKey(key, unauthorized);
  let me: Me;
  try {
    me = await get<Me>("/v1/me");
  } catch (error) {
    useKey(sessionStorage.getItem(KEY) ?? undefined);
    throw error;
  }
  const before = session.get();
  // A rotated key goes on where the old one stood; another's starts at the beginning.
  const same = before.state === "in" && before.me.key.scope === me.key.scope && before.me.key.account === me.key.account;
  if (before.state === "in" && !same) location.hash = "#/";
  sessionStorage.setItem(KEY, key);
  const kept = sessionStorage.getItem(ACCOUNT) ?? "";
  const seen = me.accounts === "all" || me.accounts.includes(kept);
  chosenAccount.set(seen && me.accounts === "all" ? kept : "");
  session.set({ state: "in", me, expired: false });
}

/** Signs in again after a reload of the page. */
export async function resume(): Promise<void> {
  const key = sessionStorage.getItem(KEY);
  if (!key) return session.set({ state: "out" });
  try {
    await signIn(key);
  } catch {
    sessionStorage.removeItem(KEY);
    session.set({ state: "out" });
  }
}

export function signOut(): void {
  sessionStorage.clear();
  useKey(undefined);
  chosenAccount.set("");
  session.set({ state: "out" });
  location.hash = "#/";
}

/** Whether the key may do everything, and whether it may change anything. */
export function rights(): { operator: boolean; write: boolean; allAccounts: boolean } {
  const now = session.get();
  if (now.state !== "in") return { operator: false, write: false, allAccounts: false };
  return { operator: now.me.key.scope === "operator", write: now.me.can_write, allAccounts: now.me.accounts === "all" };
}
