import { expect, test } from "vitest";
import { payout, requiredParameters } from "./payout";
import type { PayoutAction } from "./types";

const action = (more: Partial<PayoutAction>): PayoutAction => ({ name: "lead", action_type: "LEAD", model: "fixed", rate: "30.00", partner_percent: "100", rounding: "half_even", locks: false, template: null, ...more });

test("a payout is exact, and rounded once at the end", () => {
  expect(payout(action({ partner_percent: "80" }), "100", "USD")).toBe("24.00");
  expect(payout(action({ model: "percent", rate: "7.5", partner_percent: "80" }), "100.00", "USD")).toBe("6.00");
  expect(payout(action({ model: "percent", rate: "33.333", partner_percent: "50" }), "0.1", "USD")).toBe("0.02");
  expect(payout(action({ rate: "0.1", partner_percent: "70" }), "0", "USD")).toBe("0.07");
  expect(payout(action({ rate: "1000.5" }), "0", "JPY")).toBe("1000");
  expect(payout(action({ rate: "1.2345", partner_percent: "100" }), "0", "KWD")).toBe("1.234");
});

test("the middle goes where the rounding says", () => {
  for (const [rounding, expected] of [["half_even", "0.02"], ["half_up", "0.03"], ["down", "0.02"]] as const) expect(payout(action({ rate: "0.025", rounding }), "0", "USD")).toBe(expected);
  expect(payout(action({ rate: "0.035" }), "0", "USD")).toBe("0.04");
});

test("what is no decimal gives nothing", () => {
  for (const rate of ["", "x", "-1", "1,5", "1.123456789"]) expect(payout(action({ rate }), "1", "USD")).toBeUndefined();
});

test("each model requires its parameters", () => {
  expect(requiredParameters(action({}), ["city"])).toEqual(["click_id", "request_id", "action", "status", "city"]);
  expect(requiredParameters(action({ model: "percent" }), [])).toContain("price");
  expect(requiredParameters(action({ model: "recurring" }), [])).toContain("customer_id");
});
