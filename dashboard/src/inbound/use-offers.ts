// The offers as choices of filters.
import { all } from "../api/client";
import { useLive } from "../live";
import { chosenAccount } from "../session";
import type { Offer } from "./types";

export function useOffers(): [string, string][] {
  const account = chosenAccount.get();
  const { data } = useLive(`offers as choices ${account}`, (signal) => all<Offer>("/v1/offers", { account }, signal), 0);
  return data?.map((offer) => [offer.id, offer.name]) ?? [];
}
