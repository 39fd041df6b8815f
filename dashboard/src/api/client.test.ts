import { afterEach, expect, test, vi } from "vitest";
import { get, useKey } from "./client";

afterEach(() => vi.unstubAllGlobals());

test("a key is given up when it is turned away, and not by a late answer to the key before", async () => {
  const answers: ((response: Response) => void)[] = [];
  vi.stubGlobal("fetch", () => new Promise<Response>((answer) => answers.push(answer)));
  const turnedAway = vi.fn();
  const refused = () => new Response("{}", { status: 401 });

  useKey("prk_old", turnedAway);
  const late = get("/v1/stats").catch(() => {});
  useKey("prk_new");
  answers[0]?.(refused());
  await late;
  expect(turnedAway).not.toHaveBeenCalled();

  const next = get("/v1/stats").catch(() => {});
  answers[1]?.(refused());
  await next;
  expect(turnedAway).toHaveBeenCalledOnce();
});
