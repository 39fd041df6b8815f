import { expect, test } from "vitest";
import { readRule, verdictInWords } from "./matcher";

test("every kind of condition is read out", () => {
  const words = (rule: string) => readRule(rule).map((line) => line.words);
  expect(words("contains:OK\nOK\n exact: 1 ")).toEqual(["the body contains “OK”", "the body contains “OK”", "the body is exactly “1”"]);
  expect(words("regex:^OK\\b")).toEqual(["the body fits the pattern ^OK\\b"]);
  expect(words("json:/status=ok\njson:/id\nxml:/r/@code=0")).toEqual(["the JSON value at /status is “ok”", "the JSON value at /id is there", "the XML value at /r/@code is “0”"]);
  expect(words("status:2xx")).toEqual(["the status is 2xx"]);
  expect(words("http://x")).toEqual(["the body contains “http://x”"]);
  expect(readRule(null)).toEqual([]);
});

test("the verdict says error first, and what a status can still spoil", () => {
  expect(verdictInWords("contains:OK", "contains:error", "standard")).toEqual([
    "Given up at once if the body contains “error”. This is looked at first.",
    "Delivered if the body contains “OK”, unless the status is 3xx, 4xx or 5xx.",
    "Anything else is sent again later.",
  ]);
  expect(verdictInWords("contains:OK\nstatus:404", null, "impact")[0]).toBe("Delivered if the body contains “OK” and the status is 404.");
  expect(verdictInWords(null, null, "standard")).toHaveLength(1);
  expect(verdictInWords(null, null, "impact")).toHaveLength(2);
});
