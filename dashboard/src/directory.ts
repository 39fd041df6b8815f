// Names of subscriptions and accounts, which many screens show beside ids.
import { all } from "./api/client";
import type { Account, Subscription } from "./api/types";
import { rights } from "./session";
import { store, useStore } from "./store";
import { useEffect } from "preact/hooks";

const subscriptions = store<Map<string, Subscription>>(new Map());
const accounts = store<Account[]>([]);
let asked = 0;

/** Reads the names again. */
export async function refreshDirectory(): Promise<void> {
  asked = Date.now();
  const [listed, owners] = await Promise.all([
    all<Subscription>("/v1/subscriptions"),
    rights().allAccounts ? all<Account>("/v1/accounts") : Promise.resolve([]),
  ]);
  subscriptions.set(new Map(listed.map((subscription) => [subscription.id, subscription])));
  accounts.set(owners);
}

export function forgetDirectory(): void {
  subscriptions.set(new Map());
  accounts.set([]);
  asked = 0;
}

/** The names; read when first needed, and when an id without a name is on the screen. */
export function useDirectory(needed: string[] = []): { subscriptions: Map<string, Subscription>; accounts: Account[] } {
  const [known, owners] = [useStore(subscriptions), useStore(accounts)];
  const missing = needed.some((id) => !known.has(id));
  useEffect(() => {
    if (asked === 0 || (missing && Date.now() - asked > 5000)) void refreshDirectory().catch(() => {});
  }, [missing]);
  return { subscriptions: known, accounts: owners };
}
