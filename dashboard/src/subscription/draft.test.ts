import { expect, test } from "vitest";
import type { EventType, Preset, Subscription } from "../api/types";
import { attemptTimes, bodyOf, draftOf, emptyDraft, fillPreset, parseSchedule, SCHEDULE_S, takes, writeSchedule } from "./draft";

test("durations are read as people write them, and back", () => {
  expect(parseSchedule("10s, 30 s; 1 min,2h\n1 d, 0.5, 5m")).toEqual([10, 30, 60, 7200, 86_400, 0.5, 300]);
  expect(parseSchedule("10s, soon")).toBeUndefined();
  expect(parseSchedule(writeSchedule(SCHEDULE_S))).toEqual(SCHEDULE_S);
  expect(writeSchedule([10, 90, 120, 5400, 7200, 86_400, 0.5])).toBe("10 s, 90 s, 2 min, 90 min, 2 h, 1 d, 0.5 s");
});

test("attempts follow the schedule, whose last wait repeats", () => {
  const retry = { attempts: 5, schedule_s: [10, 30], jitter: 0.1, profile: "standard" as const };
  expect(attemptTimes(retry)).toEqual([0, 10, 40, 70, 100]);
  expect(attemptTimes({ ...retry, attempts: 1 })).toEqual([0]);
  expect(attemptTimes({ ...retry, exponential: { initial_s: 10, factor: 3, max_s: 60 } })).toEqual([0, 10, 40, 100, 160]);
});

test("the words of the user take the place of a preset's parameters", () => {
  const preset = {
    parameters: [{ name: "KEY" }, { name: "KEY_TWO" }, { name: "DOMAIN" }],
    subscription: { name: "T", event_types: ["action.*"], request: { method: "GET", url: "https://DOMAIN/KEY/KEY_TWO?s={SubId1}", headers: [{ name: "X-KEY", value: "KEY" }], body: "KEY", body_format: "query", engine: "macro" } },
  } as unknown as Preset;
  const draft = fillPreset(preset, "acme", { KEY: "one", KEY_TWO: " two ", DOMAIN: "t.example" });
  expect(draft.request).toMatchObject({ url: "https://t.example/one/two?s={SubId1}", body: "one", headers: [{ name: "X-KEY", value: "one" }] });
  expect(draft).toMatchObject({ account: "acme", timeout_ms: 10_000, success_response: null });
});

test("what only the server sets is not sent back, and a kept secret is left out", () => {
  const saved = { ...draftOf("acme", { name: "S" }), id: "sub_1", version: 3, created_at: "x", updated_at: "y", warnings: [], credentials: { type: "basic", username: "u", password: "", has_secret: true }, signing: null } as Subscription;
  const body = bodyOf(saved);
  for (const name of ["id", "version", "created_at", "updated_at", "warnings", "signing"]) expect(body).not.toHaveProperty(name);
  expect(body.credentials).toEqual({ type: "basic", username: "u" });
  expect(bodyOf(emptyDraft("acme"))).not.toHaveProperty("credentials");
});

test("wildcards take what the server's wildcards take", () => {
  const type = (name: string, wildcard = true) => ({ type: name, wildcard }) as EventType;
  expect(takes("action.*", type("action.tracked"))).toBe(true);
  expect(takes("action.*", type("action.locked", false))).toBe(false);
  expect(takes("*", type("click.recorded"))).toBe(true);
  expect(takes("action.locked", type("action.locked", false))).toBe(true);
  expect(takes("action.*", type("actions.x"))).toBe(false);
});
