// What a response rule says, in words. The server decides; this only reads it out.
import { texts } from "../texts";

export interface Line {
  text: string;
  words: string;
  /** Whether the line looks at the status. */
  status: boolean;
}

export function readRule(rule: string | null): Line[] {
  return (rule ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((text) => {
      const [, prefix, rest] = /^(contains|exact|regex|json|xml|status):(.*)$/s.exec(text) ?? [];
      const value = (rest ?? text).trim();
      const says = texts.rules;
      switch (prefix) {
        case "exact":
          return { text, words: says.exact(value), status: false };
        case "regex":
          return { text, words: says.regex(value), status: false };
        case "json":
        case "xml": {
          const split = value.indexOf("=");
          const [path, wanted] = split < 0 ? [value, undefined] : [value.slice(0, split), value.slice(split + 1)];
          return { text, words: says.path(prefix, path, wanted), status: false };
        }
        case "status":
          return { text, words: says.status(value), status: true };
        default:
          return { text, words: says.contains(value), status: false };
      }
    });
}

/** One sentence on how answers are judged with these two boxes. */
export function verdictInWords(success: string | null, error: string | null, profile: string): string[] {
  const [good, bad] = [readRule(success), readRule(error)];
  const says = texts.rules;
  const sentences: string[] = [];
  const join = (lines: Line[]) => lines.map((line) => line.words).join(says.and);
  if (bad.length > 0) sentences.push(says.refused(join(bad)));
  if (good.length > 0) {
    sentences.push(says.delivered(join(good), good.some((line) => line.status)));
    sentences.push(says.otherwiseRetry);
  } else {
    sentences.push(says.byStatus);
  }
  if (profile === "impact") sentences.push(says.impact);
  return sentences;
}
