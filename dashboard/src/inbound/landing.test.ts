import { expect, test } from "vitest";
import { checkLanding, nearest } from "./landing";

const codes = (text: string) => checkLanding(text).errors.map((error) => [error.code, error.column, error.suggestion]);

test("a right landing address has no faults", () => {
  for (const text of ["https://shop.example/p", "http://shop.example:8080/p?x={sub_id1}&c={click_id}#top", "https://shop.example/\\{x\\}"]) expect(codes(text)).toEqual([]);
});

test("what is wrong is told with its place and a repair", () => {
  expect(codes("https://shop.example/?c={clik_id}")).toEqual([["unknown_macro", 26, "click_id"]]);
  expect(codes("https://shop.example/?s={SubId1}")).toEqual([["unknown_macro", 26, "sub_id1"]]);
  expect(codes("https://{country}.shop.example/")).toEqual([["bad_url", 1, null]]);
  expect(codes("shop.example/p")).toEqual([["bad_url", 1, null]]);
  expect(codes("https:///p")).toEqual([["bad_url", 1, null]]);
});

test("only a near name is offered", () => {
  expect(nearest("countri", ["country", "ip"])).toBe("country");
  expect(nearest("weather", ["country", "ip"])).toBeUndefined();
});
