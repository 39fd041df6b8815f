import { expect, test } from "vitest";
import { leavesGap, merge } from "./pages";

const rows = (...ids: string[]) => ids.map((id) => ({ id }));
const ids = (list: { id: string }[]) => list.map((row) => row.id).join("");

test("new ones go to the top, changed ones take the place of the old", () => {
  const old = [{ id: "c", state: "pending" }, { id: "b", state: "pending" }];
  const next = merge(old, [{ id: "d", state: "pending" }, { id: "c", state: "delivered" }], undefined, false);
  expect(next).toEqual([{ id: "d", state: "pending" }, { id: "c", state: "delivered" }, { id: "b", state: "pending" }]);
});

test("one that fits no more goes, but only if the page covers its place", () => {
  expect(ids(merge(rows("d", "c", "b", "a"), rows("d", "b"), undefined, false))).toBe("dba");
  expect(ids(merge(rows("d", "c", "b", "a"), rows("d"), undefined, true))).toBe("d");
  expect(ids(merge(rows("d", "c"), [], undefined, false))).toBe("dc");
  expect(ids(merge(rows("d", "c"), [], undefined, true))).toBe("");
});

test("a page below another touches nothing above it", () => {
  expect(ids(merge(rows("f", "e", "d", "c", "b"), rows("d", "b"), "e", false))).toBe("fedb");
});

test("the next older page is put at the end", () => {
  expect(ids(merge(rows("d", "c"), rows("b", "a"), "c", true))).toBe("dcba");
});

test("a flood between two looks is noticed", () => {
  expect(leavesGap(rows("c", "b"), rows("z", "y"), false)).toBe(true);
  expect(leavesGap(rows("c", "b"), rows("z", "c"), false)).toBe(false);
  expect(leavesGap(rows("c", "b"), rows("z", "y"), true)).toBe(false);
  expect(leavesGap([], rows("z"), false)).toBe(false);
});
