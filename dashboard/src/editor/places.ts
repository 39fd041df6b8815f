// Where a finding is: the API counts lines and columns in characters, the editor in UTF-16 units.
import type { Finding } from "../api/types";

/** The offset of a line and column (both from 1) in `text`; places outside are moved to the nearest inside. */
export function offsetAt(text: string, line: number, column: number): number {
  let start = 0;
  for (let n = 1; n < line; n++) {
    const end = text.indexOf("\n", start);
    if (end < 0) return text.length;
    start = end + 1;
  }
  const newline = text.indexOf("\n", start);
  const end = newline < 0 ? text.length : newline;
  let at = start;
  for (let n = 1; n < column && at < end; n++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return Math.min(at, end);
}

/** The offset of a byte of the UTF-8 form. */
export function offsetOfByte(text: string, byte: number): number {
  let [bytes, at] = [0, 0];
  while (at < text.length && bytes < byte) {
    const code = text.codePointAt(at) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    at += code > 0xffff ? 2 : 1;
  }
  return at;
}

export interface Range {
  from: number;
  to: number;
}

export function rangeOf(text: string, finding: Pick<Finding, "line" | "column" | "end_line" | "end_column">): Range {
  const from = offsetAt(text, finding.line, finding.column);
  return { from, to: Math.max(from, offsetAt(text, finding.end_line, finding.end_column)) };
}

/** The change that a finding offers; none if it offers none. */
export function fixOf(text: string, finding: Finding): (Range & { insert: string }) | undefined {
  if (finding.fix) {
    const { span, replacement } = finding.fix;
    return { from: offsetOfByte(text, span.start), to: offsetOfByte(text, span.end), insert: replacement };
  }
  if (!finding.suggestion) return undefined;
  const range = rangeOf(text, finding);
  const marked = text.slice(range.from, range.to);
  // The mark may be on the name or on the macro with its braces.
  const name = /[A-Za-z_][A-Za-z0-9_.]*/.exec(marked);
  if (!name) return undefined;
  const from = range.from + name.index;
  return { from, to: from + name[0].length, insert: finding.suggestion };
}

/** `text` with the change made. */
export function applied(text: string, change: Range & { insert: string }): string {
  return text.slice(0, change.from) + change.insert + text.slice(change.to);
}
