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
    ["inbound-calls", "the call shows up here by itself"],
    ["clicks", "when a visitor follows a partner link"],
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
  // What is not saved stays while one looks at the codes.
  await page.getByRole("link", { name: "Codes" }).click();
  await page.getByText("With the key").waitFor();
  await page.getByRole("link", { name: "Settings" }).click();
  expect(await page.getByLabel("Name", { exact: true }).inputValue()).toBe("Overwritten");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("alert").filter({ hasText: "version" }).waitFor();
  expect((await server.get("/v1/offers/summer-shop")).name).toBe("Summer: Shop!");
});

/** A visitor follows the partner's link. Gives the click id that the landing page gets. */
async function visit(subId: string): Promise<string> {
  const answer = await fetch(`${server.url}/acme/c/summer-shop?sub_id1=${encodeURIComponent(subId)}`, { redirect: "manual" });
  expect(answer.status).toBe(302);
  return new URL(answer.headers.get("location") ?? "").searchParams.get("c") ?? "";
}

/** The shop's server reports. */
async function report(parameters: Record<string, string>): Promise<{ status: number; body: Record<string, unknown> }> {
  const [key] = (await server.get("/v1/inbound-keys")).data;
  const answer = await fetch(`${server.url}/${key.key}/s2s?${new URLSearchParams(parameters)}`);
  return { status: answer.status, body: await answer.json() };
}

test("integration codes are copied", async () => {
  await open(page, "offers/summer-shop/codes");
  const box = (title: string) => page.locator(".code", { has: page.getByRole("heading", { name: title, exact: true }) });
  const copied = async (title: string) => {
    await box(title).getByRole("button", { name: "Copy" }).click();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  const [key] = (await server.get("/v1/inbound-keys")).data;
  expect(await copied("Partner link")).toBe(`${server.url}/acme/c/summer-shop`);
  expect(await copied("Postback URL (GET)")).toBe(`${server.url}/${key.key}/s2s?click_id={click_id}&request_id={request_id}&action=sale&status={status}&price={price}`);
  expect(await copied("POST with JSON")).toMatch(/^curl -X 'POST' .*\n.*Content-Type: application\/json.*\n.*"request_id": "\{request_id\}"/s);
  expect(await copied("Pixel")).toMatch(/^<img src="http.*px\.gif\?click_id=\{click_id\}/);
  expect(await copied("Frame")).toMatch(/^<iframe src="http/);
});

test("a report comes in live and is explained; so is one that is refused", async () => {
  await server.post("/v1/subscriptions", { account: "acme", name: "Acme's tracker", event_types: ["action.*"], request: { url: `${receiver.url("/acme")}?cid={SubId1}&payout={Payout}&status={Status}` } });
  const click = await visit("w8TnE3kQ");
  await open(page, "inbound-calls");
  await page.getByText("No reports yet").waitFor();
  const taken = await report({ click_id: click, request_id: "order-1", action: "sale", status: "new", price: "100.00" });
  expect(taken).toMatchObject({ status: 200, body: { status: "success", rejected_by_conflict: false } });
  const row = page.locator(".virtual tbody tr", { hasText: "order-1" });
  await row.getByText("Taken").waitFor();
  // The partner's postback carries the partner's own value, and its part of the payout.
  await until("the postback", () => receiver.received.find((request) => request.url === "/acme?cid=w8TnE3kQ&payout=8.00&status=PENDING"));
  await row.locator("a").click();
  await page.getByText("The report changed the action").waitFor();
  expect(await page.locator(".pairs").innerText()).toMatch(/request_id\s+order-1/);
  await page.getByText(`"lead_id": "${taken.body.lead_id}"`).waitFor();
  const [key] = (await server.get("/v1/inbound-keys")).data;
  expect(await page.content()).not.toContain(key.key);
  await page.getByRole("link", { name: click }).click();
  await page.getByText("w8TnE3kQ", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Reports of this click" }).click();
  await page.locator(".virtual tbody tr", { hasText: "order-1" }).waitFor();

  const refused = await report({ click_id: click, request_id: "order-2", action: "sale", status: "perhaps", price: "1" });
  expect(refused.status).toBe(422);
  await open(page, "inbound-calls?result=error");
  await page.locator(".virtual tbody tr", { hasText: "order-2" }).locator("a").click();
  await page.getByText("unknown_status").first().waitFor();
  await page.locator(".note.bad", { hasText: "perhaps" }).waitFor();

  expect((await report({ click_id: click, request_id: "order-1", action: "sale", status: "new", price: "100.00" })).body.status).toBe("success");
  await report({ click_id: click, request_id: "order-1", action: "sale", status: "approved", price: "100.00" });
  expect((await report({ click_id: click, request_id: "order-1", action: "sale", status: "rejected", price: "100.00" })).body.rejected_by_conflict).toBe(true);
  for (const [result, label] of [["repeated", "Repeated"], ["conflict", "Conflict"]] as const) {
    await open(page, `inbound-calls?result=${result}`);
    await page.locator(".virtual tbody tr").first().getByText(label).waitFor();
  }
});

test("one test lead is walked through to its end", async () => {
  await open(page, "offers/summer-shop/test");
  await page.getByLabel("Price").fill("50.00");
  await page.getByRole("button", { name: "Start a test" }).click();
  const step = (name: string) => page.locator(".run-steps li", { hasText: name });
  await step("The link was opened").getByText("Waiting").waitFor();
  expect(await page.getByRole("button", { name: "Report hold" }).isDisabled()).toBe(true);
  const [landing] = await Promise.all([page.context().waitForEvent("page"), page.getByRole("link", { name: "Open the link" }).click()]);
  await landing.waitForURL(/\/landing\?/);
  await landing.close();
  await step("The link was opened").getByText("Passed").waitFor();
  await page.getByRole("button", { name: "Report hold" }).click();
  for (const name of ["A report came in", "The lead was recorded", "The event was made", "The partner's postback was delivered"]) await step(name).getByText("Passed").waitFor();
  await step("The status was changed").getByText("Waiting").waitFor();
  await page.getByRole("button", { name: "Report approved" }).click();
  await step("The status was changed").getByText("Passed").waitFor();
  await page.getByText("Every step passed.").waitFor();
  await page.getByRole("button", { name: "Finish" }).click();
  await page.getByRole("button", { name: "Finish" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "See the reports of the click" }).click();
  await page.locator(".virtual tbody tr").nth(1).waitFor();
});

test("a test says at which step it fails, and why", async () => {
  receiver.answer("/acme", { status: 404, body: "campaign is closed" });
  await open(page, "offers/summer-shop/test");
  await page.getByRole("button", { name: "Start a test" }).click();
  await page.getByText("The test link").waitFor();
  const link = await page.locator(".secret code").innerText();
  await fetch(link, { redirect: "manual" });
  await page.getByRole("button", { name: "Report hold" }).click();
  const failed = page.locator(".run-steps li", { hasText: "The partner's postback was delivered" });
  await failed.getByText("Failed").waitFor();
  await failed.getByText("refused").waitFor();
  await failed.getByRole("link", { name: "Acme's tracker" }).waitFor();
  await page.getByRole("button", { name: "Finish" }).click();
  await page.locator(".run-steps li", { hasText: "The status was changed" }).getByText("Passed").waitFor();
  receiver.answer("/acme", { status: 200, body: "OK" });
});

test("an action's story has its state, its money, its events and what contradicted it", async () => {
  const [row] = (await server.get("/v1/actions?account=acme&state=cleared")).data as { request_id: string; action_id: string }[];
  await open(page, "actions");
  await page.getByRole("button", { name: "Cleared" }).click();
  const line = page.locator(".virtual tbody tr", { hasText: "order-1" });
  await line.getByText("8.00 USD").waitFor();
  await line.locator("a").click();
  await page.getByRole("heading", { name: "Action order-1" }).waitFor();
  await page.locator(".head .pill", { hasText: "Cleared" }).waitFor();
  await page.getByText("1 report contradicts what was decided").waitFor();
  expect(await page.locator(".life > li h2").allInnerTexts()).toEqual(["action.tracked", "action.cleared"]);
  await page.locator(".life-deliveries li", { hasText: "Acme's tracker" }).first().getByText("Delivered").waitFor();
  expect(row).toBeDefined();
  await page.getByRole("link", { name: "See the incoming log" }).click();
  await page.locator(".virtual tbody tr").first().getByText("Conflict").waitFor();
  // A report of a new action shows up in the ledger by itself.
  await open(page, "actions");
  const click = await visit("w8TnE3kQ-2");
  await report({ click_id: click, request_id: "order-live", action: "sale", status: "new", price: "10.00" });
  await page.locator(".virtual tbody tr", { hasText: "order-live" }).getByText("0.80 USD").waitFor();
  await report({ click_id: click, request_id: "order-live", action: "sale", status: "returned" });
  await page.locator(".virtual tbody tr", { hasText: "order-live" }).getByText("Reversed").waitFor();
});

test("an offer is deleted, and its links lead nowhere", async () => {
  await server.post("/v1/offers", { id: "gone", account: "shop", name: "Gone soon", landing_url: receiver.url("/landing"), currency: "USD", actions: [{ name: "lead", rate: "1" }] });
  await open(page, "offers/gone");
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete offer" }).click();
  await page.getByText("Offer deleted.").waitFor();
  expect((await fetch(`${server.url}/acme/c/gone`, { redirect: "manual" })).status).toBe(404);
});
