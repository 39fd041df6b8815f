// A landing address while it is typed: its macros, and what is plainly wrong. Saving says the rest.
import type { Checked, Finding } from "../api/types";
import type { Macro } from "../editor/completion";
import { texts } from "./texts";

/** What may stand in a landing address, as macros of the editor. */
export const landingMacros: Macro[] = Object.entries(texts.landing.macros).map(([name, [meaning, example]]) => ({ name, type: "text", meaning, example, types: [texts.landing.from] }));

const finding = (text: string, code: string, message: string, from: number, to: number, suggestion: string | null = null): Finding => {
  const place = (at: number) => {
    const before = text.slice(0, at).split("\n");
    return { line: before.length, column: [...(before.at(-1) ?? "")].length + 1 };
  };
  const [start, end] = [place(from), place(to)];
  return { code, message, line: start.line, column: start.column, end_line: end.line, end_column: end.column, suggestion };
};

/** Names of macros, and faults of scheme and host. */
export function checkLanding(text: string): Checked {
  const errors: Finding[] = [];
  const host = /^https?:\/\/([^/?#]*)/.exec(text);
  if (!host || host[1] === "") errors.push(finding(text, "bad_url", texts.landing.noHost, 0, text.length));
  else if (/[{}]/.test(host[1] ?? "")) errors.push(finding(text, "bad_url", texts.landing.macroInHost, 0, host[0].length));
  for (const found of text.matchAll(/(?<!\\)\{([A-Za-z_]\w*)\}/g)) {
    const name = found[1] ?? "";
    if (name in texts.landing.macros) continue;
    const near = nearest(name, Object.keys(texts.landing.macros));
    errors.push(finding(text, "unknown_macro", texts.landing.unknown(name, near), found.index + 1, found.index + 1 + name.length, near ?? null));
  }
  return { output: null, errors, warnings: [] };
}

/** The name that differs least, if it differs little. */
export function nearest(name: string, names: string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll("_", "");
  const near = names.map((other) => ({ other, by: distance(plain(name), plain(other)) })).sort((a, b) => a.by - b.by)[0];
  return near && near.by <= Math.max(1, Math.floor(name.length / 3)) ? near.other : undefined;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length] ?? 0;
}
