// What the API sends and takes for the inbound half. The names are the API's own.
import type { PostriderEvent, Time } from "../api/types";

export const MODELS = ["fixed", "percent", "recurring"] as const;
export type Model = (typeof MODELS)[number];
export const ROUNDINGS = ["half_even", "half_up", "down"] as const;
export type Rounding = (typeof ROUNDINGS)[number];
export const STATUSES = ["hold", "approved", "rejected"] as const;
export type ReportedStatus = (typeof STATUSES)[number];

export interface PayoutAction {
  name: string;
  action_type: string;
  model: Model;
  /** Decimals are texts. */
  rate: string;
  rate_type?: "amount" | "percent";
  partner_percent: string;
  rounding: Rounding;
  locks: boolean;
  template: string | null;
}

export interface ExtraParameter {
  name: string;
  required: boolean;
  field: string;
}

export interface ParameterTemplate {
  name: string;
  state: "active" | "inactive";
  parameters: ExtraParameter[];
}

export interface OfferDraft {
  id: string;
  account: string;
  name: string;
  state: "active" | "paused";
  landing_url: string;
  click_parameter: string;
  currency: string;
  campaign_id: string | null;
  partners: "all" | string[];
  unknown_clicks: "reject" | "accept";
  actions: PayoutAction[];
  statuses: Record<ReportedStatus, string[]>;
  parameter_templates: ParameterTemplate[];
  privacy: { ip: "full" | "truncated" | "none"; user_agent: boolean };
}

export interface Offer extends OfferDraft {
  version: number;
  created_at: Time;
  updated_at: Time;
}

export interface InboundKey {
  id: string;
  account: string;
  offer: string | null;
  name: string;
  created_at: Time;
  expires_at: Time | null;
  last_used_at: Time | null;
  prefix: string;
  per_second: number | null;
  addresses: string[];
  /** Only to keys that may write for the account. */
  key?: string;
}

export const CALL_RESULTS = ["success", "repeated", "conflict", "error"] as const;
export type CallResult = (typeof CALL_RESULTS)[number];

export const LEDGER_STATES = ["pending", "locked", "cleared", "paid", "reversed"] as const;
export type LedgerState = (typeof LEDGER_STATES)[number];

export interface LedgerRow {
  /** The partner. */
  account: string;
  action_id: string;
  advertiser: string | null;
  offer: string | null;
  action: string | null;
  request_id: string | null;
  click: string | null;
  customer: string | null;
  state: LedgerState;
  amount: string | null;
  payout: string | null;
  intended_amount: string | null;
  intended_payout: string | null;
  currency: string | null;
  status_word: string | null;
  comment: string | null;
  source: "s2s" | "events";
  test: boolean;
  created_at: Time;
  changed_at: Time;
  occurred_at: Time;
  conflicts: number;
}

export interface LedgerAction extends LedgerRow {
  /** Oldest first; of very many the first and the last. */
  events: PostriderEvent[];
}

export interface Click {
  id: string;
  account: string;
  offer: string;
  at: Time;
  sub_id1?: string;
  sub_id2?: string;
  sub_id3?: string;
  shared_id?: string;
  promo_id?: string;
  promo_code?: string;
  campaign_id?: string;
  traffic_source?: string;
  utm_source?: string;
  ip?: string;
  country?: string;
  user_agent?: string;
  referring_domain?: string;
  landing_url?: string;
  test?: boolean;
}
