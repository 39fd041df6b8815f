import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curl, shellQuote } from "./curl";

test("no text gets out of its quotes", () => {
  for (const text of ["it's", "$(id)", "`id`", "a\nb", "'; rm -rf x; '", "\\", '"', "!x", ""]) {
    expect(execFileSync("sh", ["-c", `printf %s ${shellQuote(text)}`], { encoding: "utf8" })).toBe(text);
  }
});

test("a request is one command", () => {
  const request = { method: "POST", url: "https://t.example/?a=1&b='", headers: [{ name: "X-A", value: "1" }, { name: "X-Empty", value: "" }], body: "a=1" };
  expect(curl(request)).toBe("curl -X 'POST' 'https://t.example/?a=1&b='\\''' \\\n  -H 'X-A: 1' \\\n  -H 'X-Empty;' \\\n  --data-raw 'a=1'");
  expect(curl({ ...request, headers: [], body: "?", body_base64: "/w==" })).toBe("printf %s '/w==' | base64 -d | curl -X 'POST' 'https://t.example/?a=1&b='\\''' \\\n  --data-binary @-");
});
