// What the API sends and takes. The names are the API's own.
import type { Json } from "../exact-json";

export type Time = string;

export interface Listed<T> {
  data: T[];
  next_cursor: string | null;
}

export type KeyScope = "operator" | "account" | "read";

export interface Key {
  id: string;
  name: string;
  scope: KeyScope;
  account: string | null;
  created_at: Time;
  expires_at: Time | null;
  last_used_at: Time | null;
  prefix: string;
  /** Only in the answer to making or rotating it. */
  key?: string;
}

export interface Me {
  key: Key;
  accounts: "all" | string[];
  can_write: boolean;
}

export interface Account {
  id: string;
  name: string;
  kind?: string | null;
  fields: string[];
  allowed_event_types?: string[];
  created_at?: Time;
}

export interface Header {
  name: string;
  value: string;
}

export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
export type Method = (typeof METHODS)[number];
export const BODY_FORMATS = ["query", "json", "xml", "raw"] as const;
export type BodyFormat = (typeof BODY_FORMATS)[number];
export type TemplateFormat = BodyFormat | "url" | "header";
export type Engine = "macro" | "handlebars";

export interface RequestSpec {
  method: Method;
  url: string;
  headers: Header[];
  body_format: BodyFormat;
  body: string;
  engine: Engine;
  identification_headers?: boolean;
}

export interface RetrySpec {
  attempts: number;
  schedule_s: number[];
  exponential?: { initial_s: number; factor: number; max_s: number };
  jitter: number;
  profile: "standard" | "impact" | "custom";
}

export interface Signing {
  version: "v1" | "v1a";
  form: "auto" | "headers" | "query";
  public_key?: string;
  rotated_at?: Time | null;
  previous_until?: Time | null;
}

export type Credentials =
  | { type: "basic"; username: string; password?: string; has_secret?: boolean }
  | { type: "bearer"; token?: string; has_secret?: boolean }
  | { type: "header"; name: string; value?: string; has_secret?: boolean }
  | {
      type: "oauth2";
      token_url: string;
      client_id: string;
      client_secret?: string;
      scope?: string;
      audience?: string;
      client_authentication: "basic" | "body";
      has_secret?: boolean;
    };

export interface Tls {
  client_certificate?: string;
  client_key?: string;
  ca?: string;
  client_certificate_expires_at?: Time | null;
  has_secret?: boolean;
}

export interface SubscriptionSpec {
  account: string;
  name: string;
  event_types: string[];
  where: Record<string, string[]>;
  request: RequestSpec;
  minimum_delay_s: number;
  max_requests_per_second: number | null;
  rate_scope: "all" | "retries";
  success_response: string | null;
  error_response: string | null;
  timeout_ms: number;
  retry: RetrySpec;
  order: "none" | "action";
  state: "active" | "paused";
  scope?: "global" | "event";
  silence?: string[];
  signing?: Signing | null;
  credentials?: Credentials | null;
  tls?: Tls | null;
}

export interface Subscription extends SubscriptionSpec {
  id: string;
  version: number;
  created_at: Time;
  updated_at: Time;
  health?: Health;
  /** Only in the answer to a change. */
  warnings?: Warning[];
  /** Only when it was just made. */
  signing_secret?: string;
}

/** How the receiver of a subscription is doing. */
export interface Health {
  state: "healthy" | "failing";
  since: Time | null;
  consecutive_failures: number;
  last_outcome: string | null;
  next_probe_at: Time | null;
  suggestion: string | null;
}

export interface Warning {
  pointer: string;
  code: string;
  detail: string;
}

export const DELIVERY_STATES = ["pending", "leased", "delivered", "dead", "cancelled"] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

export interface Delivery {
  id: string;
  event: string;
  subscription: string;
  account: string;
  type: string;
  state: DeliveryState;
  due_at: Time | null;
  attempts: number;
  last_outcome: string | null;
  created_at: Time;
  ended_at: Time | null;
  dead_reason: string | null;
  template_version: number;
  explanation?: string;
  attempt_log?: Attempt[];
}

export interface SentRequest {
  method: string;
  url: string;
  headers: Header[];
  body: string;
  body_base64?: string;
}

export interface ReceivedResponse {
  status: number;
  headers: Header[];
  body: string;
  body_base64?: string;
  truncated: boolean;
}

export interface Attempt {
  id: string;
  number: number;
  started_at: Time;
  duration_ms: number;
  outcome: string;
  reason: string;
  possible_repeat: boolean;
  next_due_at: Time | null;
  request: SentRequest | null;
  response: ReceivedResponse | null;
}

export interface PostriderEvent {
  id: string;
  account: string;
  type: string;
  key: string | null;
  occurred_at: Time;
  received_at: Time;
  data: { [name: string]: Json };
  deliveries?: Delivery[];
}

export interface Routing {
  subscription: string;
  name: string;
  sent: boolean;
  why: string;
}

export interface EventField {
  name: string;
  type: string;
  meaning: string;
  /** Text, or JSON for lists. */
  example: unknown;
  /** Whether the reporter sends it, or the server fills it in. */
  provider?: "sender" | "system";
  /** The fields of each entry of a list. */
  fields?: EventField[];
}

export interface EventType {
  type: string;
  family: string;
  family_label: string;
  description: string;
  fields: EventField[];
  operator_defined: boolean;
  wildcard: boolean;
}

/** A finding of the template check. Lines and columns count from 1, in characters. */
export interface Finding {
  code: string;
  message: string;
  line: number;
  column: number;
  end_line: number;
  end_column: number;
  suggestion: string | null;
  fix?: { span: { start: number; end: number }; replacement: string } | null;
}

export interface Checked {
  output: string | null;
  errors: Finding[];
  warnings: Finding[];
}

export interface Imported {
  style: string | null;
  url: string | null;
  body: string | null;
  body_format: BodyFormat | null;
  mapped: { from: string; to: string }[];
  unmapped: { name: string }[];
  notes: string[];
}

export interface PresetParameter {
  name: string;
  meaning: string;
  example: string;
}

/** A ready-made template as the list shows it. */
export interface PresetEntry {
  name: string;
  title: string;
  receiver: string;
  verified: string;
  event_types: string[];
  method: Method;
  body_format: BodyFormat;
}

export interface Preset {
  name: string;
  title: string;
  receiver: string;
  verified: string;
  sources: string[];
  notes: string;
  parameters: PresetParameter[];
  subscription: Partial<SubscriptionSpec>;
}

export interface Invalid {
  pointer: string;
  code: string;
  detail: string;
  line?: number;
  column?: number;
  end_line?: number;
  end_column?: number;
  suggestion?: string;
}

export interface Preview {
  request: SentRequest | null;
  errors: Invalid[];
  warnings: Warning[];
  /** Whether the subscription wants the event that was tried, and why not. */
  event: { wanted: boolean; type: string; why: string } | null;
}

export interface ResponseVerdict {
  outcome: string;
  final: boolean;
  next: "delivered" | "dead" | "retry";
  retry_after_s: number | null;
  reason: string;
  matched: ("success_response" | "error_response")[];
  conditions: { rule: "success_response" | "error_response"; condition: string; holds: boolean }[];
  warnings: Warning[];
}

export interface Node {
  id: string;
  address: string;
  roles: ("api" | "dispatch")[];
  version: string;
  lanes: number;
  in_flight: number;
  last_beat_at: Time;
  live: boolean;
  leaving: boolean;
  is_this: boolean;
}

export interface Stats {
  totals: {
    accepted: number;
    delivered: number;
    dead: number;
    cancelled: number;
    waiting: number;
    in_flight: number;
    attempts: number;
  };
  oldest_due_at: Time | null;
  success_share: number | null;
  latency_ms: { p50: number; p95: number; p99: number } | null;
  series: { at: Time; accepted: number; delivered: number; failed_attempts: number; dead: number }[];
  subscriptions: SubscriptionStats[];
}

export interface SubscriptionStats {
  id: string;
  name: string;
  account: string;
  state: "active" | "paused";
  health: "healthy" | "failing";
  waiting: number;
  delivered: number;
  dead: number;
  attempts: number;
  last_outcome: string | null;
  oldest_due_at: Time | null;
  attempts_per_minute: number;
  consecutive_failures: number;
}

export interface Replay {
  id: string;
  subscription: string;
  account: string;
  states: DeliveryState[];
  since: Time | null;
  until: Time | null;
  per_second: number | null;
  dry_run: boolean;
  state: "counting" | "running" | "done" | "cancelled";
  matched: number;
  done: number;
  skipped: number;
  created_at: Time;
  finished_at: Time | null;
}

export interface AuditEntry {
  id: string;
  at: Time;
  actor: { key: string | null; name: string | null; address: string | null };
  account: string | null;
  action: string;
  object: string | null;
  changes: string[];
}
