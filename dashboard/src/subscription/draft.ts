// A subscription while it is edited: defaults, what is sent, and texts for lists of durations.
import type { Credentials, EventType, Preset, Subscription, SubscriptionSpec } from "../api/types";

export const SCHEDULE_S = [10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 28_800, 43_200, 86_400];

/** Where the exponential rule begins: as long in all as the schedule, about. */
export const EXPONENTIAL = { initial_s: 10, factor: 2, max_s: 43_200 };

export function emptyDraft(account: string): SubscriptionSpec {
  return {
    account,
    name: "",
    event_types: ["action.*"],
    where: {},
    request: { method: "GET", url: "", headers: [], body_format: "query", body: "", engine: "macro" },
    minimum_delay_s: 0,
    max_requests_per_second: null,
    rate_scope: "all",
    success_response: null,
    error_response: null,
    timeout_ms: 10_000,
    retry: { attempts: 16, schedule_s: SCHEDULE_S, jitter: 0.1, profile: "standard" },
    order: "none",
    state: "active",
  };
}

/** The draft that a part of a subscription makes, the rest from the defaults. */
export function draftOf(account: string, part: Partial<SubscriptionSpec>): SubscriptionSpec {
  const empty = emptyDraft(account);
  const given = Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined && value !== null)) as Partial<SubscriptionSpec>;
  return {
    ...empty,
    ...given,
    account,
    request: { ...empty.request, ...given.request },
    retry: { ...empty.retry, ...given.retry },
    success_response: part.success_response ?? null,
    error_response: part.error_response ?? null,
  };
}

/** The preset with the user's words in place of its parameters, which are literals in capitals. */
export function fillPreset(preset: Preset, account: string, words: Record<string, string>): SubscriptionSpec {
  // Longer names first, since one may begin another.
  const names = preset.parameters.map((parameter) => parameter.name).sort((a, b) => b.length - a.length);
  const fill = (text: string) => names.reduce((all, name) => (words[name]?.trim() ? all.replaceAll(name, words[name].trim()) : all), text);
  const draft = draftOf(account, preset.subscription);
  const request = {
    ...draft.request,
    url: fill(draft.request.url),
    body: fill(draft.request.body),
    headers: draft.request.headers.map((header) => ({ ...header, value: fill(header.value) })),
  };
  return { ...draft, request };
}

/** What only the server sets. */
const READ_ONLY = ["id", "version", "created_at", "updated_at", "health", "warnings", "signing_secret"];

/** The draft of a saved subscription: every field that can be sent back, so that nothing is lost. */
export function specOf(subscription: Subscription | SubscriptionSpec): SubscriptionSpec {
  return Object.fromEntries(Object.entries(subscription).filter(([name]) => !READ_ONLY.includes(name))) as unknown as SubscriptionSpec;
}

/** What the API takes: without what only the server sets and what only the screen needs. */
export function bodyOf(draft: SubscriptionSpec | Subscription): Record<string, unknown> {
  const spec = specOf(draft);
  const body: Record<string, unknown> = { ...spec };
  for (const optional of ["signing", "credentials", "tls"]) if (!body[optional]) delete body[optional];
  if (spec.tls) body.tls = { ...spec.tls, has_secret: undefined, client_certificate_expires_at: undefined };
  if (spec.credentials) body.credentials = withoutEmptySecret(spec.credentials);
  return body;
}

/** A secret that is left empty is kept as it is on the server. */
function withoutEmptySecret(credentials: Credentials): Record<string, unknown> {
  const body: Record<string, unknown> = { ...credentials };
  delete body.has_secret;
  for (const name of ["password", "token", "value", "client_secret", "scope", "audience"]) if (body[name] === "") delete body[name];
  return body;
}

const UNITS: Record<string, number> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** `10s, 30s, 1 min, 2h` in seconds; undefined if a part is no duration. */
export function parseSchedule(text: string): number[] | undefined {
  const parts = text.split(/[,;\n]+/).map((part) => part.trim()).filter(Boolean);
  const found = parts.map((part) => {
    const match = /^(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d)?$/i.exec(part);
    return match ? Number(match[1]) * (UNITS[(match[2] ?? "s").toLowerCase()] ?? 1) : Number.NaN;
  });
  return found.some(Number.isNaN) ? undefined : found;
}

export function writeSchedule(schedule_s: number[]): string {
  const one = (s: number) => {
    for (const [size, unit] of [[86_400, "d"], [3600, "h"], [60, "min"]] as const) if (s >= size && s % size === 0) return `${s / size} ${unit}`;
    return `${s} s`;
  };
  return schedule_s.map(one).join(", ");
}

/** When each attempt is made at the earliest, in seconds after the first. */
export function attemptTimes(retry: SubscriptionSpec["retry"]): number[] {
  const times = [0];
  let wait = retry.exponential?.initial_s ?? 0;
  for (let n = 1; n < Math.min(retry.attempts, 100); n++) {
    const step = retry.exponential ? Math.min(wait, retry.exponential.max_s) : (retry.schedule_s[n - 1] ?? retry.schedule_s.at(-1) ?? 0);
    if (retry.exponential) wait *= retry.exponential.factor;
    times.push((times.at(-1) ?? 0) + step);
  }
  return times;
}

/** Whether a pattern of a subscription takes a type, as the server decides it. */
export function takes(pattern: string, type: EventType): boolean {
  if (pattern === type.type) return true;
  if (!type.wildcard) return false;
  return pattern === "*" || (pattern.endsWith(".*") && type.type.startsWith(pattern.slice(0, -1)));
}
