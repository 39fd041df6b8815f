// What an action is worth, worked out exactly for the example beside its rates.
import type { PayoutAction, Rounding } from "./types";

/** A decimal of up to eight places as an integer of 10⁻⁸; undefined if the text is none. */
const PLACES = 8;

function scaled(text: string): bigint | undefined {
  const found = /^(\d{1,15})(?:\.(\d{1,8}))?$/.exec(text.trim());
  return found ? BigInt(`${found[1]}${(found[2] ?? "").padEnd(PLACES, "0")}`) : undefined;
}

/** How many places a currency has; two if it is not known. */
export function placesOf(currency: string): number {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

export const isPercentage = (action: Pick<PayoutAction, "model" | "rate_type">): boolean => (action.rate_type ? action.rate_type === "percent" : action.model === "percent");

/** What the partner gets of one action at this price; rounded once, at the end. */
export function payout(action: PayoutAction, price: string, currency: string): string | undefined {
  const [rate, part, paid] = [scaled(action.rate), scaled(action.partner_percent), scaled(price)];
  if (rate === undefined || part === undefined || paid === undefined) return undefined;
  const unit = 10n ** BigInt(PLACES);
  const [value, divisor] = isPercentage(action) ? [paid * rate * part, unit * unit * unit * 10_000n] : [rate * part, unit * unit * 100n];
  const places = placesOf(currency);
  const minor = round(value * 10n ** BigInt(places), divisor, action.rounding).toString().padStart(places + 1, "0");
  return places === 0 ? minor : `${minor.slice(0, -places)}.${minor.slice(-places)}`;
}

function round(value: bigint, divisor: bigint, rounding: Rounding): bigint {
  const [whole, rest] = [value / divisor, (value % divisor) * 2n];
  if (rounding === "down" || rest < divisor) return whole;
  if (rest > divisor || rounding === "half_up") return whole + 1n;
  return whole % 2n === 0n ? whole : whole + 1n;
}

/** The parameters that a report of this action must carry. */
export function requiredParameters(action: PayoutAction, extra: string[]): string[] {
  const usual = action.model === "recurring" ? ["click_id", "request_id", "action", "status", "customer_id"] : ["click_id", "request_id", "action", "status", ...(isPercentage(action) ? ["price"] : [])];
  return [...usual, ...extra];
}
