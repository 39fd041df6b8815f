// An offer while it is edited: defaults, what is sent, and texts for lists of words.
import type { Offer, OfferDraft, PayoutAction, ReportedStatus } from "./types";

/** The words of affiliate networks, as the server fills them in. */
export const WORDS: Record<ReportedStatus, string[]> = {
  hold: ["hold", "shipped", "processing", "accepted", "waiting", "open", "new", "pending"],
  approved: ["approved", "confirmed", "confirm", "paid", "completed", "sold", "delivered"],
  rejected: ["rejected", "returned", "canceled", "cancelled", "archived", "refunded", "cancel", "archive", "refund", "spam", "error", "wrong", "test", "declined"],
};

export const emptyAction = (name = "lead"): PayoutAction => ({ name, action_type: "LEAD", model: "fixed", rate: "10.00", partner_percent: "100", rounding: "half_even", locks: false, template: null });

export function emptyOffer(account: string): OfferDraft {
  return {
    id: "",
    account,
    name: "",
    state: "active",
    landing_url: "",
    click_parameter: "click_id",
    currency: "USD",
    campaign_id: null,
    partners: "all",
    unknown_clicks: "reject",
    actions: [emptyAction()],
    statuses: structuredClone(WORDS),
    parameter_templates: [],
    privacy: { ip: "truncated", user_agent: true },
  };
}

/** What can be sent back of a saved offer. */
export function draftOfOffer(offer: Offer): OfferDraft {
  const { version: _version, created_at: _created, updated_at: _updated, ...draft } = offer;
  return draft;
}

/** What the API takes: numbers without blanks, and no rate type where the model says it. */
export function offerBody(draft: OfferDraft): OfferDraft {
  return {
    ...draft,
    id: draft.id.trim(),
    campaign_id: draft.campaign_id?.trim() || null,
    actions: draft.actions.map(({ rate_type, ...action }) => ({
      ...action,
      rate: action.rate.trim(),
      partner_percent: action.partner_percent.trim(),
      ...(action.model === "recurring" && rate_type ? { rate_type } : {}),
    })),
  };
}

/** Words with commas or on lines of their own. */
export const splitWords = (text: string): string[] => text.split(/[,\n]/).map((word) => word.trim()).filter(Boolean);

/** An id from a name, as a proposal: `Summer shop` gives `summer-shop`. */
export const idFrom = (name: string): string => name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60);
