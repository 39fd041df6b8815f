// The inbound half: an advertiser sets up an offer, its server reports, and everybody sees what came of it.
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Chrome, fill, open, Postrider, Receiver, until } from "./world";

let [chrome, server, receiver] = [] as unknown as [Chrome, Postrider, Receiver];
let page: Page;

beforeAll(async () => {
  [chrome, server, receiver] = await Promise.all([Chrome.start(), Postrider.start(), Receiver.start()]);
  await server.post("/v1/accounts", { id: "shop", name: "Summer Shop" });
  await server.post("/v1/accounts", { id: "acme", name: "Acme Media" });
});

beforeEach(async () => {
  page = await chrome.page(server, server.key);
});

afterEach(async () => {
  await page.context().close();
  expect(chrome.faults.splice(0)).toEqual([]);
});

afterAll(async () => {
  await Promise.all([chrome?.stop(), server?.stop(), receiver?.stop()]);
});

test("what is empty says what to do next", async () => {
  for (const [screen, text] of [
    ["offers", "Create an offer with its actions and payouts."],
    ["inbound-keys", "An advertiser's server needs a key to report."],
  ] as const) {
    await open(page, screen);
    await page.getByText(text).waitFor();
  }
});

test("an offer is made; its broken landing URL is mended by its message", async () => {
  await open(page, "offers");
  await page.getByRole("button", { name: "New offer" }).first().click();
  await page.getByLabel("Advertiser", { exact: true }).selectOption("shop");
  await page.getByLabel("Name", { exact: true }).fill("Summer: Shop!");
  expect(await page.getByLabel("Id", { exact: true }).inputValue()).toBe("summer-shop");
  await fill(page, "Landing URL", `${receiver.url("/landing")}?who={SubId1}&c={click_id}`);
  await page.locator(".finding.bad", { hasText: "did you mean sub_id1?" }).waitFor();
  await page.locator(".cm-lintRange-error").first().waitFor();
  // The server refuses it for the same reason.
  await page.getByRole("button", { name: "Create offer" }).click();
  await page.getByRole("alert").filter({ hasText: "SubId1" }).waitFor();
  await page.locator(".finding").getByRole("button", { name: "Use sub_id1" }).click();
  await page.locator(".finding.bad").first().waitFor({ state: "detached" });
  await page.getByLabel("Name in reports").fill("sale");
  await page.getByRole("radio", { name: "Percent" }).check();
  await page.getByLabel("Rate", { exact: true }).fill("10");
  await page.getByLabel("Partner's part").fill("80");
  await page.getByText("Of a price of 100.00 USD the partner gets 8.00 USD.").waitFor();
  expect(await page.locator(".sums .chip").allInnerTexts()).toEqual(["click_id", "request_id", "action", "status", "price"]);
  await page.getByRole("button", { name: "Create offer" }).click();
  await page.getByRole("heading", { name: "Summer: Shop!", level: 1 }).waitFor();
  const made = await server.get("/v1/offers/summer-shop");
  expect(made).toMatchObject({ account: "shop", name: "Summer: Shop!", landing_url: `${receiver.url("/landing")}?who={sub_id1}&c={click_id}` });
  expect(made.actions).toMatchObject([{ name: "sale", model: "percent", rate: "10", partner_percent: "80" }]);
  // Nothing is set up to report yet; the next step is offered.
  await page.getByText("A key is needed first").waitFor();
});

test("status words, extra parameters and partners are edited; faults stand at their fields", async () => {
  await open(page, "offers/summer-shop");
  await page.getByLabel("Approved", { exact: true }).fill("approved, shipped");
  await page.getByRole("button", { name: "Add a template" }).click();
  await page.getByLabel("Name of the template").fill("delivery");
  await page.getByLabel("Parameter 1", { exact: true }).fill("city");
  await page.getByLabel("Event field of parameter 1").fill("Payout");
  await page.getByLabel("required", { exact: true }).check();
  await page.getByLabel("Template of extra parameters").selectOption("delivery");
  expect(await page.locator(".sums .chip").allInnerTexts()).toContain("city");
  await page.getByRole("radio", { name: "Only these" }).check();
  await page.getByLabel("Account ids").fill("acme");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.locator(".field.faulty", { hasText: "Approved" }).getByText("stands for hold already").waitFor();
  await page.locator(".box .faults", { hasText: "Payout" }).waitFor();
  await page.getByRole("button", { name: "Fill in the usual words" }).click();
  await page.getByLabel("Event field of parameter 1").fill("Text1");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByText("Saved.").first().waitFor();
  const saved = await server.get("/v1/offers/summer-shop");
  expect(saved).toMatchObject({ partners: ["acme"], version: 2, parameter_templates: [{ name: "delivery", state: "active", parameters: [{ name: "city", required: true, field: "Text1" }] }] });
  expect(saved.statuses.approved).toContain("paid");
  // Renamed, the action goes on with it; switched off, it requires nothing.
  await page.getByLabel("Name of the template").fill("shipping");
  expect(await page.getByLabel("Template of extra parameters").inputValue()).toBe("shipping");
  await page.getByLabel("Active", { exact: true }).uncheck();
  expect(await page.locator(".sums .chip").allInnerTexts()).not.toContain("city");
  await page.getByRole("button", { name: "Save changes" }).click();
  await until("the change", async () => (await server.get("/v1/offers/summer-shop")).actions[0].template === "shipping");
});

test("an inbound key is made with an allow-list, rotated and deleted", async () => {
  await open(page, "inbound-keys");
  await page.getByRole("button", { name: "Make a key" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Shop's server");
  await dialog.getByLabel("Advertiser").selectOption("shop");
  await dialog.getByLabel("Offer").selectOption("summer-shop");
  await dialog.getByLabel("Allowed addresses").fill("127.0.0.0/8\nnot a network");
  await dialog.getByRole("button", { name: "Make a key" }).click();
  await dialog.locator(".faults", { hasText: "not a network: this is no network" }).waitFor();
  await dialog.getByLabel("Allowed addresses").fill("127.0.0.0/8, ::1/128");
  await dialog.getByRole("button", { name: "Make a key" }).click();
  const row = page.locator("tr", { hasText: "Shop's server" });
  await row.getByText("127.0.0.0/8, ::1/128").waitFor();
  const [made] = (await server.get("/v1/inbound-keys")).data;
  expect(made).toMatchObject({ account: "shop", offer: "summer-shop", addresses: ["127.0.0.0/8", "::1/128"] });
  await row.getByRole("button", { name: "Copy key" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(made.key);
  await row.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("dialog").getByLabel("The old key works for").fill("2");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
  const keys = await until("two keys", async () => {
    const { data } = await server.get("/v1/inbound-keys");
    return data.length === 2 && (data as { id: string; expires_at: string | null }[]);
  });
  const old = keys.find((key) => key.id === made.id);
  expect((new Date(old?.expires_at ?? 0).getTime() - Date.now()) / 3_600_000).toBeCloseTo(2, 1);
  await page.locator("tbody tr").nth(1).waitFor();
  const added = keys.find((key) => key.id !== made.id);
  await page.locator("tbody tr", { hasText: made.prefix }).getByRole("button", { name: /^Delete the inbound key/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete key" }).click();
  await until("one key", async () => (await server.get("/v1/inbound-keys")).data.length === 1);
  expect((await server.get("/v1/inbound-keys")).data[0].id).toBe(added?.id);
});

test("an offer is paused and resumed; an older page cannot overwrite it", async () => {
  await open(page, "offers/summer-shop");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("This offer is paused").waitFor();
  expect((await server.get("/v1/offers/summer-shop")).state).toBe("paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText("This offer is paused").waitFor({ state: "detached" });
  await server.call("PATCH", "/v1/offers/summer-shop", { campaign_id: "77" });
  await page.getByLabel("Name", { exact: true }).fill("Overwritten");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("alert").filter({ hasText: "version" }).waitFor();
  expect((await server.get("/v1/offers/summer-shop")).name).toBe("Summer: Shop!");
});
