import { expect, test } from "vitest";
import { fromLocalInput, hostOf, milliseconds, percent, relative, seconds, steady, steadyRate, time, toLocalInput } from "./format";

test("a share is 100 % only if nothing failed", () => {
  expect([null, 0, 0.00001, 0.5, 0.99999, 1].map(percent)).toEqual(["–", "0 %", "0.1 %", "50.0 %", "99.9 %", "100 %"]);
});

test("durations are shown in their two largest units", () => {
  expect([0, 0.5, 9.96, 59, 60, 90, 3600, 3661, 90_000, 86_400 * 2 + 3600 * 10].map(seconds)).toEqual(["0 s", "0.5 s", "10 s", "59 s", "1 min", "1 min 30 s", "1 h", "1 h 1 min", "1 d 1 h", "2 d 10 h"]);
  expect([12.4, 999, 1500, 61_000].map(milliseconds)).toEqual(["12 ms", "999 ms", "1.5 s", "1 min 1 s"]);
});

test("times are told from now", () => {
  const now = Date.parse("2026-11-22T10:00:00Z");
  const at = (s: number) => relative(new Date(now + s * 1000).toISOString(), now);
  expect([0.4, 5, -5, 90, -7200].map(at)).toEqual(["now", "in 5 s", "5 s ago", "in 1 min", "2 h ago"]);
  expect(relative(null)).toBe("–");
});

test("another day's time has its date, and no text breaks it", () => {
  const now = new Date("2026-11-22T10:00:00");
  expect(time("2026-11-22T09:05:07", now)).toBe("09:05:07");
  expect(time("2026-11-21T09:05:07", now)).toBe("21 Nov, 09:05:07");
  expect(time("2025-11-21T09:05:07", now)).toBe("21 Nov 2025, 09:05:07");
  expect(time("<b>", now)).toBe("<b>");
});

test("inputs of date and time go there and back", () => {
  const text = "2026-11-22T09:05";
  expect(toLocalInput(fromLocalInput(text))).toBe(text);
  expect([fromLocalInput(""), fromLocalInput("x"), toLocalInput(undefined), toLocalInput("x")]).toEqual([undefined, undefined, "", ""]);
});

test("the host of a URL is found, with macros behind it", () => {
  expect(hostOf("https://t.example:8443/p?c={SubId1}")).toBe("t.example:8443");
  expect(hostOf("http://user@t.example/")).toBe("t.example");
  expect(hostOf("javascript:alert(1)")).toBe("javascript:alert(1)");
});

test("a number that grows keeps its width", () => {
  for (const n of [0, 7, 42, 999]) expect([...steady(n)].map((sign) => (/\d/.test(sign) ? "\u2007" : sign)).join("")).toBe("\u2007\u2007\u2008\u2007\u2007\u2007");
  expect([steady(1234), steady(99_999)]).toEqual(["\u20071,234", "99,999"]);
  expect(steady(1_200_000)).toBe("1.2M");
  expect([0, 0.278, 9.96, 1234.5].map((n) => steadyRate(n).trim().replace(/^\u2007+/, ""))).toEqual(["0.0", "0.3", "10.0", "1,234.5"]);
});
