// Names of subscriptions and accounts, which many screens show beside ids, and whether there are offers.
import { all, get } from "./api/client";
import type { Account, Listed, Subscription } from "./api/types";
import { rights } from "./session";
import { store, useStore } from "./store";
import { useEffect } from "preact/hooks";

const subscriptions = store<Map<string, Subscription>>(new Map());
const accounts = store<Account[]>([]);
/** Whether the key sees an offer, so that the screens of the inbound half are of use. */
const offers = store(false);
let asked = 0;

/** Reads the names again. */
export async function refreshDirectory(): Promise<void> {
  asked = Date.now();
  const [listed, owners, offered] = await Promise.all([
    all<Subscription>("/v1/subscriptions"),
    rights().allAccounts ? all<Account>("/v1/accounts") : Promise.resolve([]),
    get<Listed<unknown>>("/v1/offers", { limit: 1 }),
  ]);
  subscriptions.set(new Map(listed.map((subscription) => [subscription.id, subscription])));
  accounts.set(owners);
  offers.set(offered.data.length > 0);
}

/** What a subscription is called, as far as the names were read; else its id. */
export const subscriptionName = (id: string): string => subscriptions.get().get(id)?.name ?? id;

export function forgetDirectory(): void {
  subscriptions.set(new Map());
  accounts.set([]);
  offers.set(false);
  asked = 0;
}

/** The names; read when first needed, and when an id without a name is on the screen. */
export function useDirectory(needed: string[] = []): { subscriptions: Map<string, Subscription>; accounts: Account[]; offers: boolean } {
  const [known, owners, offered] = [useStore(subscriptions), useStore(accounts), useStore(offers)];
  const missing = needed.some((id) => !known.has(id));
  useEffect(() => {
    if (asked === 0 || (missing && Date.now() - asked > 5000)) void refreshDirectory().catch(() => {});
  }, [missing]);
  return { subscriptions: known, accounts: owners, offers: offered };
}
