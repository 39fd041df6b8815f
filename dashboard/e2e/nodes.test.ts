// Several nodes over one database, as an operator sees them: all numbers on each node, and who is there.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chrome, open, Postrider, Receiver, until } from "./world";

const SCRIPT = join(import.meta.dirname, "../../.ci/postgres");
const database = mkdtempSync(join(tmpdir(), "postrider-e2e-database-"));
let [chrome, all, api, receiver] = [] as unknown as [Chrome, Postrider, Postrider, Receiver];

beforeAll(async () => {
  const url = execFileSync("bash", [SCRIPT, "start", database], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  [chrome, receiver, all] = await Promise.all([Chrome.start(), Receiver.start(), Postrider.start([], { POSTRIDER_STORE: url, POSTRIDER_LEASE_S: "3" })]);
  const shared = { POSTRIDER_STORE: url, POSTRIDER_LEASE_S: "3", POSTRIDER_MASTER_KEY_FILE: join(all.folder, "master.key") };
  api = await Postrider.start(["--roles", "api"], shared);
}, 120_000);

afterAll(async () => {
  await Promise.all([chrome?.stop(), api?.stop(), receiver?.stop()]);
  await all?.stop();
  execFileSync("bash", [SCRIPT, "stop", database], { stdio: "ignore" });
  rmSync(database, { recursive: true, force: true });
  expect(chrome.faults).toEqual([]);
}, 60_000);

test("a node that sends nothing shows what the others send, and who they are", async () => {
  await api.post("/v1/accounts", { id: "acme", name: "Acme" });
  await api.post("/v1/subscriptions", { account: "acme", name: "Tracker", event_types: ["action.*"], request: { url: `${receiver.url("/t")}?id={ActionId}` } });
  for (let number = 0; number < 5; number += 1) await api.event("acme", "action.tracked", { ActionId: `a.${number}` });
  await until("the deliveries", async () => (await api.get("/v1/deliveries?state=delivered")).data.length === 5);
  const page = await chrome.page(api, api.key);
  await open(page, "overview");
  const nodes = page.locator("section", { has: page.getByRole("heading", { name: "Nodes" }) });
  await nodes.getByRole("row").nth(2).waitFor();
  const text = await nodes.innerText();
  expect(text).toContain(`${new URL(api.url).host} (this one)`);
  expect(text).toContain(new URL(all.url).host);
  expect(text).toMatch(/API, sending/);
  // The one that sends has the lane, and the curve of the one that does not shows what it sent.
  await page.locator("section", { hasText: "By subscription" }).getByRole("row", { name: /Tracker/ }).getByText("5", { exact: true }).first().waitFor();
  await until("the curve", async () => {
    const { series } = await api.get<{ series: { delivered: number }[] }>("/v1/stats");
    return series.reduce((sum, point) => sum + point.delivered, 0) === 5;
  });
  // One that stops in order says so and goes.
  await all.stop();
  await until("the other one to leave", async () => (await nodes.count()) === 0);
  await page.context().close();
});
