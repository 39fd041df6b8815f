// What a partner does: from a ready-made template to a delivery, a broken template, a test, a retry, a replay.
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Chrome, editor, fill, open, Postrider, Receiver, until } from "./world";

let [chrome, server, receiver] = [] as unknown as [Chrome, Postrider, Receiver];
let page: Page;

beforeAll(async () => {
  [chrome, server, receiver] = await Promise.all([Chrome.start(), Postrider.start(), Receiver.start()]);
  await server.post("/v1/accounts", { id: "acme", name: "Acme Media", fields: ["LoyaltyTier"] });
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

const subscription = (name: string, path: string, more: Record<string, unknown> = {}) =>
  server.post("/v1/subscriptions", { account: "acme", name, event_types: ["action.*"], request: { url: `${receiver.url(path)}?txid={ActionId}&cid={SubId1}&status={Status}` }, ...more });

test("signing in with a wrong key says so, with the right one opens the overview", async () => {
  const out = await chrome.page(server);
  await out.getByLabel("API key").fill("prk_wrong");
  await out.getByRole("button", { name: "Sign in" }).click();
  await out.getByRole("alert").waitFor();
  await out.getByLabel("API key").fill(server.key);
  await out.getByRole("button", { name: "Sign in" }).click();
  await out.getByRole("heading", { name: "Overview" }).waitFor();
  expect(await out.content()).not.toContain(server.key);
  expect(out.url()).not.toContain(server.key);
  await out.context().close();
});

test("a subscription is made from a preset", async () => {
  await open(page, "subscriptions/new");
  await page.getByRole("link", { name: /Keitaro/ }).click();
  await page.getByLabel("Domain of your tracker").fill("tracker.partner.example");
  await page.getByLabel(/The key in your tracker/).fill("a1b2c3d");
  await page.getByRole("button", { name: "Continue" }).click();
  // The preview shows the exact request for a sample, with every macro replaced.
  await page.locator(".preview .url", { hasText: "https://tracker.partner.example/a1b2c3d/postback?subid=" }).waitFor();
  expect(await page.locator(".preview .url").innerText()).not.toContain("{");
  await page.getByRole("button", { name: "Create subscription" }).click();
  await page.getByRole("heading", { name: "Keitaro", level: 1 }).waitFor();
  const [made] = (await server.get("/v1/subscriptions")).data;
  expect(made).toMatchObject({ account: "acme", name: "Keitaro", success_response: "contains:OK", state: "active" });
  expect(made.request.url).toContain("https://tracker.partner.example/a1b2c3d/postback?subid={SubId1}");
});

test("a broken template is mended by its diagnostics", async () => {
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Mended");
  await fill(page, "URL", `${receiver.url("/mended")}?payout={Paiout}`);
  await page.locator(".finding.bad", { hasText: "Paiout" }).first().waitFor();
  // The mark stands in the text, and saving is refused with the same reason.
  await page.locator(".cm-lintRange-error").first().waitFor();
  await page.getByRole("button", { name: "Create subscription" }).click();
  await page.getByRole("alert").filter({ hasText: "Paiout" }).waitFor();
  await page.locator(".finding").getByRole("button", { name: "Use Payout" }).click();
  await page.locator(".finding.bad").first().waitFor({ state: "detached" });
  expect(await editor(page, "URL").innerText()).toContain("payout={Payout}");
  await page.locator(".preview .url", { hasText: /payout=[\d.]+/ }).waitFor();
  await page.getByRole("button", { name: "Create subscription" }).click();
  await page.getByRole("heading", { name: "Mended", level: 1 }).waitFor();
});

test("macros are offered with their meaning, and chosen by keyboard", async () => {
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await fill(page, "URL", "https://tracker.example/?c=");
  await page.keyboard.type("{SubId");
  const list = page.locator(".cm-tooltip-autocomplete");
  await list.getByText("SubId1").first().waitFor();
  await page.locator(".cm-completionInfo .macro-info").waitFor();
  await page.keyboard.press("Enter");
  // The macro is whole, with its closing brace.
  await until("the macro", async () => /\?c=\{SubId\d\}$/.test(await editor(page, "URL").innerText()));
});

test("another platform's URL is translated", async () => {
  await open(page, "subscriptions/new");
  await page.getByLabel("URL or body").fill("https://tracker.example/p?cid={clickid}&payout={payout}");
  await page.getByRole("button", { name: "Translate" }).click();
  await page.locator(".imported pre", { hasText: "{Payout}" }).waitFor();
  await page.getByRole("button", { name: "Use this" }).click();
  await editor(page, "URL").filter({ hasText: "{Payout}" }).waitFor();
});

test("a test is sent and its verdict explained", async () => {
  receiver.answer("/refuses", { status: 200, body: "success=false; err_msg=unknown click" });
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Refuses");
  await fill(page, "URL", `${receiver.url("/refuses")}?t={ActionId}`);
  await page.getByLabel(/^Error response/).fill("contains:success=false");
  await page.getByRole("tab", { name: "Send test" }).click();
  await page.getByRole("button", { name: "Send test now" }).click();
  const result = page.locator(".test-result");
  await result.getByText("Refused").first().waitFor();
  await result.getByText("given up at once").waitFor();
  await result.getByText(/error response matches/).waitFor();
  await result.getByText("success=false; err_msg=unknown click").waitFor();
  expect(receiver.received.some((request) => request.url.startsWith("/refuses?t="))).toBe(true);
  expect((await server.get("/v1/deliveries")).data).toEqual([]);
});

test("a signing key is shown once, and a secret never", async () => {
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Signed");
  await fill(page, "URL", `${receiver.url("/signed")}?t={ActionId}`);
  await page.getByRole("radio", { name: "HMAC (v1)" }).check();
  await page.getByRole("radio", { name: "Bearer token" }).check();
  await page.getByLabel("Token", { exact: true }).fill("very-secret-token");
  await page.getByRole("button", { name: "Create subscription" }).click();
  const shown = page.getByRole("dialog", { name: "The signing key" });
  expect(await shown.locator("code").innerText()).toMatch(/^whsec_/);
  await shown.getByRole("button", { name: "I have kept it" }).click();
  await page.getByRole("heading", { name: "Signed", level: 1 }).waitFor();
  await page.getByText("One is stored. Leave empty to keep it.").waitFor();
  expect(await page.content()).not.toMatch(/whsec_|very-secret-token/);
  // Saved again without typing the secret, it is kept and used.
  await page.getByLabel("Name", { exact: true }).fill("Signed again");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("heading", { name: "Signed again", level: 1 }).waitFor();
  await server.event("acme", "action.tracked", { ActionId: "signed.1", Status: "PENDING" });
  const request = await until("a signed request", () => receiver.received.find((found) => found.url.startsWith("/signed?t=signed.1")));
  expect(request.headers.authorization).toBe("Bearer very-secret-token");
  expect(request.url).toContain("webhook_signature=");
  // Another key signs too from now on, and is shown once.
  await page.getByRole("button", { name: "Make a new key" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Make new key" }).click();
  await page.getByRole("dialog", { name: "The signing key" }).locator("code").waitFor();
});

test("the rules are tried on an answer", async () => {
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await page.getByLabel(/^Success response/).fill("json:/status=ok");
  await page.getByRole("tab", { name: "Answer" }).click();
  await page.getByLabel("Body", { exact: true }).fill('{"status": "ok"}');
  await page.locator(".verdict.delivered").waitFor();
  await page.getByLabel("Body", { exact: true }).fill('{"status": "late"}');
  await page.locator(".verdict.retry .conditions .fails").waitFor();
});

test("a delivery arrives live, at the top and without a reload", async () => {
  await subscription("Live", "/live");
  await open(page, "deliveries");
  await page.locator("h1", { hasText: "Deliveries" }).waitFor();
  const { deliveries } = await server.event("acme", "action.tracked", { ActionId: "live.1", SubId1: "x", Status: "PENDING" });
  const row = page.locator(`a[href="#/deliveries/${deliveries.at(-1)}"]`);
  await row.waitFor();
  await page.locator("tr", { has: row }).getByText("Delivered").waitFor();
  await row.click();
  await page.getByText("Attempts", { exact: true }).first().waitFor();
  await page.getByRole("tab", { name: "Request as sent" }).click();
  await page.locator(".request-line", { hasText: "/live?txid=live.1&cid=x&status=PENDING" }).waitFor();
  await page.getByRole("button", { name: "Copy as curl" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain(`curl -X 'GET' '${receiver.url("/live?txid=live.1")}`);
});

test("a dead delivery is retried", async () => {
  receiver.answer("/dead", { status: 404, body: "no such campaign" });
  const made = await subscription("Dead at first", "/dead");
  await server.event("acme", "action.tracked", { ActionId: "dead.1", SubId1: "x", Status: "PENDING" });
  const dead = await until("a dead delivery", async () => (await server.get(`/v1/deliveries?state=dead&subscription=${made.id}`)).data[0]);
  await open(page, `deliveries/${dead.id}`);
  await page.getByText("no such campaign").waitFor();
  receiver.answer("/dead", { status: 200, body: "OK" });
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator(".head .pill", { hasText: "Delivered" }).waitFor();
  expect(await page.locator(".attempts > li").count()).toBe(2);
});

test("what was given up is replayed in bulk, counted first", async () => {
  receiver.answer("/bulk", { status: 400, body: "closed" });
  const made = await subscription("Bulk", "/bulk");
  for (let n = 0; n < 5; n++) await server.event("acme", "action.tracked", { ActionId: `bulk.${n}`, SubId1: "x", Status: "PENDING" });
  await until("five dead deliveries", async () => (await server.get(`/v1/deliveries?state=dead&subscription=${made.id}`)).data.length === 5);
  receiver.answer("/bulk", { status: 200, body: "OK" });
  await open(page, `subscriptions/${made.id}`);
  await page.getByRole("button", { name: "Replay" }).click();
  await page.getByRole("button", { name: "Count first" }).click();
  await page.locator(".plan-count", { hasText: "5" }).waitFor();
  expect((await server.get(`/v1/deliveries?state=dead&subscription=${made.id}`)).data.length).toBe(5);
  await page.getByRole("button", { name: "Send 5 again" }).click();
  await page.locator(".replays li", { hasText: "Bulk" }).getByText("5 of 5 due again").waitFor();
  await until("five delivered", async () => (await server.get(`/v1/deliveries?state=delivered&subscription=${made.id}`)).data.length === 5);
});

test("an action is found by a field and shows its whole life, also what was not sent", async () => {
  await subscription("Only cleared", "/cleared", { event_types: ["action.cleared"] });
  await server.event("acme", "action.tracked", { ActionId: "life.1", SubId1: "findme", Status: "PENDING", Payout: 5 });
  await server.event("acme", "action.reversed", { ActionId: "life.1", SubId1: "findme", Status: "REVERSED", Payout: 0 });
  await open(page, "events");
  await page.getByLabel("Field", { exact: true }).fill("SubId1");
  await page.getByLabel("Value", { exact: true }).fill("findme");
  await page.getByRole("button", { name: "Find" }).click();
  await page.locator(".virtual tbody tr").nth(1).waitFor();
  await page.locator(".virtual a", { hasText: "action.reversed" }).click();
  await page.getByRole("link", { name: "Whole life of the action" }).click();
  await page.getByRole("heading", { name: "Action life.1" }).waitFor();
  await page.locator(".life > li h2").nth(1).waitFor();
  expect(await page.locator(".life > li h2").allInnerTexts()).toEqual(["action.tracked", "action.reversed"]);
  await page.locator(".unsent", { hasText: "Only cleared" }).first().waitFor();
});

test("a subscription is changed, paused and resumed; an older page cannot overwrite it", async () => {
  const made = await subscription("Changing", "/changing");
  await open(page, `subscriptions/${made.id}`);
  await page.getByLabel("Name", { exact: true }).fill("Changed");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("heading", { name: "Changed", level: 1 }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".head .pill", { hasText: "Paused" }).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator(".head .pill", { hasText: "Active" }).waitFor();
  await server.call("PATCH", `/v1/subscriptions/${made.id}`, { minimum_delay_s: 5 });
  await page.getByLabel("Name", { exact: true }).fill("Overwritten");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("alert").filter({ hasText: "version" }).waitFor();
  expect((await server.get(`/v1/subscriptions/${made.id}`)).name).toBe("Changed");
});

test("digits are kept from the event to the page and into the preview", async () => {
  await server.post("/v1/events", '{"account":"acme","type":"action.tracked","data":{"ActionId":"digits.1","Payout":5.00,"Amount":12345678901234567890.10}}');
  const [found] = (await server.get("/v1/events?data.ActionId=digits.1")).data;
  await open(page, `events/${found.id}`);
  await page.getByText('"Payout": 5.00').waitFor();
  await page.getByText('"Amount": 12345678901234567890.10').waitFor();
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await fill(page, "URL", "https://tracker.example/?p={Payout}&a={Amount}");
  await page.getByLabel("With this event").selectOption(`real ${found.id}`);
  await page.locator(".preview .url", { hasText: "?p=5.00&a=12345678901234567890.10" }).waitFor();
});
