import { expect, test } from "vitest";
import type { Finding } from "../api/types";
import { applied, fixOf, offsetAt, offsetOfByte, rangeOf } from "./places";

const finding = (more: Partial<Finding>): Finding => ({ code: "unknown_macro", message: "", line: 1, column: 1, end_line: 1, end_column: 1, suggestion: null, ...more });

test("lines and columns count characters, offsets count UTF-16", () => {
  const text = "é😀x\nżó{X}";
  expect(offsetAt(text, 1, 3)).toBe(3);
  expect(offsetAt(text, 2, 3)).toBe(text.indexOf("{"));
  expect([offsetAt(text, 1, 99), offsetAt(text, 9, 1)]).toEqual([4, text.length]);
  expect(offsetOfByte(text, 6)).toBe(3);
});

test("a suggestion takes the place of the name, with or without braces", () => {
  const text = "a=1&p={Paiout}";
  for (const [column, end_column] of [[7, 15], [8, 14]]) {
    const fix = fixOf(text, finding({ column, end_column, suggestion: "Payout" }));
    expect(fix && applied(text, fix)).toBe("a=1&p={Payout}");
  }
});

test("a fix of the server is made as it says, in bytes", () => {
  const text = "é {{X}}";
  const fix = fixOf(text, finding({ fix: { span: { start: 3, end: 8 }, replacement: "{X}" } }));
  expect(fix && applied(text, fix)).toBe("é {X}");
  expect(fixOf(text, finding({}))).toBeUndefined();
});

test("a range is never turned round", () => {
  expect(rangeOf("abc", finding({ column: 3, end_column: 1 }))).toEqual({ from: 2, to: 2 });
});
