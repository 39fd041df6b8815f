import { expect, test } from "vitest";
import { Exact, parseExact, pretty, writeExact } from "./exact-json";

test("numbers keep their digits there and back", () => {
  for (const text of ["5.00", "12345678901234567890", "1e5", "-0.10", "1E+400", "-0"]) {
    const value = parseExact(text);
    expect(value).toBeInstanceOf(Exact);
    expect(writeExact(value)).toBe(text);
  }
  expect(parseExact("[1,2.5,-3]")).toEqual([1, 2.5, -3]);
  expect(writeExact(parseExact('{"a":{"b":[1.50,"x\\u0041"]},"c":null}'))).toBe('{"a":{"b":[1.50,"xA"]},"c":null}');
});

test("what JSON.parse reads is read alike", () => {
  for (const text of ['{"a":1,"b":[true,false,null,"\\n\\"\\\\"],"c":{},"d":[]}', ' [ 1 , {"x" : "" } ] ', '"é😀"']) expect(parseExact(text)).toEqual(JSON.parse(text));
});

test("what is no JSON is refused with its place", () => {
  for (const text of ["", "{", '{"a"}', "[1,]", '{"a":1,}', "01", "1.", "+1", "nul", '"\n"', "[1 2]", '{"a":1}x', "'a'", '"\\x"']) {
    expect(() => parseExact(text), text).toThrow(SyntaxError);
    expect(() => JSON.parse(text) as unknown, text).toThrow();
  }
  expect(() => parseExact("[1,x]")).toThrow("unexpected `x` at character 4");
  expect(() => parseExact("[".repeat(10_000))).toThrow(SyntaxError);
});

test("a field called __proto__ is a field", () => {
  const value = parseExact('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
  expect(Object.keys(value)).toEqual(["__proto__"]);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test("pretty indents JSON and leaves all else alone", () => {
  expect(pretty('{"a":[1.0,{}],"b":"x"}')).toBe('{\n  "a": [\n    1.0,\n    {}\n  ],\n  "b": "x"\n}');
  expect(pretty("OK")).toBeUndefined();
});
