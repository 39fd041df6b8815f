// What each kind of key sees and may do: a partner sees only its own.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chrome, open, Postrider, Receiver, until } from "./world";

let [chrome, server, receiver] = [] as unknown as [Chrome, Postrider, Receiver];
const keys: Record<string, string> = {};
const subscriptions: Record<string, string> = {};

beforeAll(async () => {
  [chrome, server, receiver] = await Promise.all([Chrome.start(), Postrider.start(), Receiver.start()]);
  for (const account of ["acme", "rival"]) {
    await server.post("/v1/accounts", { id: account, name: account });
    const url = `${receiver.url(`/${account}`)}?t={ActionId}`;
    subscriptions[account] = (await server.post("/v1/subscriptions", { account, name: `Tracker of ${account}`, event_types: ["action.*"], request: { url } })).id;
    await server.event(account, "action.tracked", { ActionId: `${account}.1`, Status: "PENDING" });
  }
  keys.account = (await server.post("/v1/keys", { name: "Partner", scope: "account", account: "acme" })).key;
  keys.read = (await server.post("/v1/keys", { name: "Auditor", scope: "read", account: "acme" })).key;
  await until("both deliveries", async () => (await server.get("/v1/deliveries?state=delivered")).data.length === 2);
});

afterAll(async () => {
  await Promise.all([chrome?.stop(), server?.stop(), receiver?.stop()]);
  expect(chrome.faults).toEqual([]);
});

test.each(["account", "read"])("a key of scope %s sees only its own account", async (scope) => {
  const page = await chrome.page(server, keys[scope]);
  const sections = page.getByRole("navigation", { name: "Sections" });
  await sections.getByText("Deliveries").waitFor();
  for (const hidden of ["Accounts", "API keys", "Audit log"]) expect(await sections.getByText(hidden).count()).toBe(0);
  for (const screen of ["overview", "subscriptions", "deliveries", "events", "replays", "macros"]) {
    await open(page, screen);
    if (screen === "subscriptions") await page.getByText("Tracker of acme").waitFor();
    if (screen === "deliveries") await page.locator(".virtual tbody tr").first().waitFor();
    if (screen === "events") await page.getByText("acme.1").waitFor();
    expect(await page.locator("body").innerText()).not.toMatch(/rival/);
  }
  for (const address of [`subscriptions/${subscriptions.rival}`, "keys", "accounts", "audit"]) {
    await page.evaluate((hash) => {
      location.hash = hash;
    }, `#/${address}`);
    await page.getByText(/there is no subscription|nothing at this address/i).first().waitFor();
    expect(await page.locator("body").innerText()).not.toContain("Tracker of rival");
  }
  await page.context().close();
});

test("a read key sees no button that changes anything", async () => {
  const page = await chrome.page(server, keys.read);
  await open(page, "subscriptions");
  await page.getByText("Tracker of acme").waitFor();
  expect(await page.getByRole("button", { name: "New subscription" }).count()).toBe(0);
  await open(page, `subscriptions/${subscriptions.acme}`);
  await page.locator(".preview .url").waitFor();
  for (const name of ["Pause", "Delete", "Replay", "Save changes", "Add a header"]) expect(await page.getByRole("button", { name, exact: true }).count()).toBe(0);
  expect(await page.getByRole("tab", { name: "Send test" }).count()).toBe(0);
  expect(await page.getByLabel("Name", { exact: true }).isDisabled()).toBe(true);
  await page.context().close();
});

test("an operator makes, rotates and revokes a key; a revoked one loses its session but not its form", async () => {
  const page = await chrome.page(server, server.key);
  await open(page, "keys");
  await page.getByRole("button", { name: "Make a key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Short-lived");
  await dialog.getByLabel("Account", { exact: true }).last().selectOption("acme");
  await dialog.getByRole("button", { name: "Make a key" }).click();
  const text = await page.locator(".secret code").innerText();
  expect(text).toMatch(/^prk_/);
  await page.getByRole("button", { name: "I have kept it" }).click();
  expect(await page.content()).not.toContain(text);

  const partner = await chrome.page(server, text);
  await open(partner, `subscriptions/${subscriptions.acme}`);
  await partner.getByLabel("Name", { exact: true }).fill("Half typed");
  await page.getByRole("button", { name: "Revoke “Short-lived”?" }).click();
  await page.getByRole("button", { name: "Revoke key" }).click();
  await page.getByText("Key revoked.").waitFor();
  // The next call is turned away; the dialog may be there before the button is pressed.
  await partner.getByRole("button", { name: "Save changes" }).click({ timeout: 1000 }).catch(() => {});
  const again = partner.getByRole("dialog", { name: "Sign in again" });
  await again.getByLabel("API key").fill(keys.account ?? "");
  await again.getByRole("button", { name: "Sign in" }).click();
  await again.waitFor({ state: "detached" });
  expect(await partner.getByLabel("Name", { exact: true }).inputValue()).toBe("Half typed");
  await page.context().close();
  await partner.context().close();
});

test("what was changed is in the audit log", async () => {
  const page = await chrome.page(server, server.key);
  await open(page, "audit");
  await page.getByRole("cell", { name: "Key made" }).first().waitFor();
  await page.getByRole("cell", { name: "Subscription created" }).first().waitFor();
  await page.context().close();
});
