import { expect, test } from "vitest";
import { draftOfOffer, emptyOffer, idFrom, offerBody, splitWords, WORDS } from "./offer-draft";
import type { Offer } from "./types";

test("the default words are the 29 of the guide, each once", () => {
  const all = Object.values(WORDS).flat();
  expect([all.length, new Set(all).size]).toEqual([29, 29]);
});

test("what only the server sets is not sent back", () => {
  const saved: Offer = { ...emptyOffer("shop"), id: "summer", version: 3, created_at: "x", updated_at: "y" };
  expect(Object.keys(draftOfOffer(saved))).toEqual(Object.keys(emptyOffer("shop")));
});

test("a rate type goes only with the model that needs it", () => {
  const draft = emptyOffer("shop");
  const [first] = draft.actions;
  if (!first) throw new Error("an empty offer has an action");
  draft.actions = [{ ...first, rate: " 5.00 ", rate_type: "percent" }, { ...first, model: "recurring", rate_type: "percent" }];
  expect(offerBody(draft).actions.map((action) => [action.rate, action.rate_type])).toEqual([["5.00", undefined], ["10.00", "percent"]]);
});

test("words and ids", () => {
  expect(splitWords(" new, open\n\npending ,")).toEqual(["new", "open", "pending"]);
  expect(idFrom("  Été: Summer Shop! ")).toBe("ete-summer-shop");
});
