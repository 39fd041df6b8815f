import { expect, test } from "vitest";
import { address, parsePlace } from "./router";

test("an address and its place are the same thing", () => {
  const place = { path: ["actions", "1/2?#é %", "acme"], query: { state: "dead", q: "a&b=c" } };
  expect(parsePlace(address(place.path, place.query))).toEqual(place);
});

test("empty parts are left out", () => {
  expect(address(["deliveries"], { state: "", since: undefined })).toBe("#/deliveries");
  expect(parsePlace("")).toEqual({ path: [], query: {} });
  expect(parsePlace("#/")).toEqual({ path: [], query: {} });
});

test("a mistyped escape is text", () => {
  expect(parsePlace("#/events/%E0%A4%A").path).toEqual(["events", "%E0%A4%A"]);
});
