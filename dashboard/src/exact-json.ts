// JSON whose numbers keep their digits. An amount of 5.00 is shown and sent on as 5.00, and a
// 20-digit id is not rounded, as JSON.parse would do.

/** A number as it was written, if JavaScript would write it differently. */
export class Exact {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

export type Json = null | boolean | number | string | Exact | Json[] | { [name: string]: Json };

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const BLANKS = /[ \t\r\n]*/y;
const DEPTH_MAX = 200;

/** Reads JSON; throws a SyntaxError if the text is none. */
export function parseExact(text: string): Json {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`unexpected ${at < text.length ? `\`${text[at]}\`` : "end"} at character ${at + 1}`);
  };
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const blanks = () => void take(BLANKS);
  const string = (): string => {
    const start = at;
    const raw = take(STRING);
    if (raw === undefined) return fail();
    try {
      return JSON.parse(raw) as string;
    } catch {
      at = start;
      return fail();
    }
  };
  const value = (depth: number): Json => {
    if (depth > DEPTH_MAX) fail();
    blanks();
    const first = text[at];
    if (first === "{") {
      at++;
      const object: { [name: string]: Json } = {};
      for (let more = open("}"); more; more = next("}")) {
        const name = string();
        blanks();
        if (text[at++] !== ":") (at--, fail());
        // `__proto__` is a field like any other.
        Object.defineProperty(object, name, { value: value(depth + 1), enumerable: true, writable: true, configurable: true });
      }
      return object;
    }
    if (first === "[") {
      at++;
      const list: Json[] = [];
      for (let more = open("]"); more; more = next("]")) list.push(value(depth + 1));
      return list;
    }
    if (first === '"') return string();
    for (const [word, meaning] of [["true", true], ["false", false], ["null", null]] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    const number = take(NUMBER);
    if (number === undefined) return fail();
    return String(Number(number)) === number ? Number(number) : new Exact(number);
  };
  const open = (end: string): boolean => {
    blanks();
    if (text[at] !== end) return true;
    at++;
    return false;
  };
  const next = (end: string): boolean => {
    blanks();
    const found = text[at];
    if (found !== "," && found !== end) fail();
    at++;
    blanks();
    return found === ",";
  };
  const whole = value(0);
  blanks();
  if (at < text.length) fail();
  return whole;
}

/** Writes JSON; numbers come out as they came in. */
export function writeExact(value: unknown, indent = 0, depth = 0): string {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const [line, end] = indent > 0 ? [`\n${" ".repeat(indent * (depth + 1))}`, `\n${" ".repeat(indent * depth)}`] : ["", ""];
  const items = Array.isArray(value)
    ? value.map((item) => writeExact(item, indent, depth + 1))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([name, item]) => `${JSON.stringify(name)}:${indent > 0 ? " " : ""}${writeExact(item, indent, depth + 1)}`);
  const [left, right] = Array.isArray(value) ? "[]" : "{}";
  return items.length === 0 ? `${left}${right}` : `${left}${line}${items.join(`,${line}`)}${end}${right}`;
}

/** The text indented if it is JSON; none if it is not. */
export function pretty(text: string): string | undefined {
  try {
    return writeExact(parseExact(text), 2);
  } catch {
    return undefined;
  }
}
