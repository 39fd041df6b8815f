import { expect, test } from "vitest";
import { parts, sentence } from "./words";

test("values stand between backticks; a lone one is text", () => {
  expect(parts("a `b` c")).toEqual(["a ", "b", " c"]);
  expect(parts("a `b")).toEqual(["a `b"]);
  expect(parts("`a` `b")).toEqual(["", "a", " `b"]);
  expect(parts("plain")).toEqual(["plain"]);
});

test("a reason is a sentence", () => {
  expect(sentence("status 404 refuses")).toBe("Status 404 refuses.");
  expect(sentence("did you mean `x`?")).toBe("Did you mean `x`?");
  expect(sentence("action.tracked to the tracker")).toBe("action.tracked to the tracker.");
  expect(sentence("")).toBe("");
});
