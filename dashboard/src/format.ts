// How times, durations and numbers are shown.

const number = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayAndYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** As wide as a digit, and as a comma. */
const [FIGURE_SPACE, PUNCTUATION_SPACE] = ["\u2007", "\u2008"];

export const count = (n: number): string => (Math.abs(n) >= 100_000 ? compact.format(n) : number.format(n));
export const exactCount = (n: number): string => number.format(n);

/**
 * The same, led by blanks of a digit's width, so that a number that grows keeps its place on the page. For columns of
 * numbers that stand at the right; up to 99,999.
 */
export function steady(n: number): string {
  const text = count(n);
  if (n >= 100_000) return text;
  return text.includes(",") ? text.padStart(6, FIGURE_SPACE) : text.padStart(5, FIGURE_SPACE).replace(/^.{2}/, (two) => `${two}${PUNCTUATION_SPACE}`);
}

/** The same with one decimal, for rates. */
export function steadyRate(n: number): string {
  const tenths = Math.round(n * 10);
  return `${steady(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** A share as a percentage that never rounds up to 100 % or down to 0 %. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  if (share >= 1) return "100 %";
  if (share <= 0) return "0 %";
  return `${Math.min(99.9, Math.max(0.1, share * 100)).toFixed(1)} %`;
}

export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return seconds(ms / 1000);
}

/** A duration in its two largest units: `1 d 4 h`, `2 min`, `0.5 s`. */
export function seconds(s: number): string {
  if (s < 60) return `${Number(s.toFixed(s < 10 ? 1 : 0))} s`;
  const parts: string[] = [];
  let rest = Math.round(s);
  for (const [size, unit] of [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]] as const) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole > 0) parts.push(`${whole} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** The time of day, with the date if it is not today's. Local time. */
export function time(text: string | null | undefined, now: Date = new Date()): string {
  if (!text) return "–";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  if (at.toDateString() === now.toDateString()) return clock.format(at);
  return `${(at.getFullYear() === now.getFullYear() ? day : dayAndYear).format(at)}, ${clock.format(at)}`;
}

/** `in 5 min`, `3 s ago`, `now`. */
export function relative(text: string | null | undefined, now: number = Date.now()): string {
  if (!text) return "–";
  const s = (new Date(text).getTime() - now) / 1000;
  if (Math.abs(s) < 1) return "now";
  const whole = Math.abs(s) < 60 ? `${Math.round(Math.abs(s))} s` : seconds(Math.abs(s)).split(" ").slice(0, 2).join(" ");
  return s > 0 ? `in ${whole}` : `${whole} ago`;
}

/** Both zones, for the tooltip of a time. */
export function bothZones(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${dayAndYear.format(at)}, ${clock.format(at)} (${zone})\n${at.toISOString()} (UTC)`;
}

/** The host of a URL template; macros cannot stand in it. */
export function hostOf(url: string): string {
  return /^https?:\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(url)?.[1] || url.slice(0, 40);
}

/** `2026-11-22T10:15` of an input of type datetime-local, as a time of the API. */
export function fromLocalInput(text: string): string | undefined {
  const at = text ? new Date(text) : undefined;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
}

export function toLocalInput(text: string | undefined): string {
  if (!text) return "";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
