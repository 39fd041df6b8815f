// A request as a command for a terminal.
import type { SentRequest } from "./api/types";

/** Quotes a text for a POSIX shell, so that nothing in it can be a command. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The request as curl would make it. Header values that are secret stand as `(secret)` in the log. */
export function curl(request: SentRequest): string {
  const lines = [`curl -X ${shellQuote(request.method)} ${shellQuote(request.url)}`];
  // curl -H "name;" sends an empty header; `name:` would remove it.
  for (const { name, value } of request.headers) lines.push(`-H ${shellQuote(value === "" ? `${name};` : `${name}: ${value}`)}`);
  if (request.body_base64) {
    return `printf %s ${shellQuote(request.body_base64)} | base64 -d | ${[...lines, "--data-binary @-"].join(" \\\n  ")}`;
  }
  if (request.body) lines.push(`--data-raw ${shellQuote(request.body)}`);
  return lines.join(" \\\n  ");
}
