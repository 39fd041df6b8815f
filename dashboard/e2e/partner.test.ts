// What a partner does: from a ready-made template to a delivery, a broken template, a test, a retry, a replay.
import { readFileSync } from "node:fs";
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

test("macros are offered with their meaning, also to who types before they are known, and chosen by keyboard", async () => {
  let allow = () => {};
  const allowed = new Promise<void>((done) => (allow = done));
  await page.route("**/v1/event-types", async (route) => {
    await allowed;
    await route.continue();
  });
  await open(page, "subscriptions/new");
  await page.getByRole("button", { name: "Start from an empty subscription" }).click();
  await fill(page, "URL", "https://tracker.example/?c=");
  await page.keyboard.type("{S");
  const list = page.locator(".cm-tooltip-autocomplete");
  await list.getByText("sha256").waitFor();
  allow();
  await list.getByText("SubId1").first().waitFor();
  await page.keyboard.type("ubId");
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

test("what is pointed at stays in its place when new deliveries come in", async () => {
  await subscription("Still", "/still");
  for (let n = 0; n < 15; n++) await server.event("acme", "action.tracked", { ActionId: `still.${n}`, SubId1: "x", Status: "PENDING" });
  await open(page, "deliveries");
  const row = page.locator(".virtual tbody tr").nth(1).locator("a");
  await row.hover();
  const link = page.locator(`a[href="${await row.getAttribute("href")}"]`);
  const before = await link.boundingBox();
  const { deliveries } = await server.event("acme", "action.tracked", { ActionId: "still.new", SubId1: "x", Status: "PENDING" });
  await page.getByRole("button", { name: /newer above/ }).waitFor();
  expect(await link.boundingBox()).toEqual(before);
  // When the pointer goes away, the list goes on with the newest.
  await page.mouse.move(5, 5);
  const newest = page.locator(`a[href="#/deliveries/${deliveries.at(-1)}"]`);
  await until("the newest in sight", async () => (await page.locator(".virtual").evaluate((box) => box.scrollTop)) === 0 && newest.isVisible());
});

test("a list is exported as it is filtered, and nothing in it runs as a formula", async () => {
  await subscription("=SUM(A1) \"quoted\", name", "/csv");
  for (let n = 0; n < 3; n++) await server.event("acme", "action.tracked", { ActionId: `csv.${n}`, SubId1: "=cmd|' /C calc'!A0", Payout: -5.5, Status: "PENDING" });
  const download = async () => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export CSV" }).click()]);
    expect(file.suggestedFilename()).toMatch(/^postrider-\w+-[\dT-]+\.csv$/);
    return readFileSync(await file.path(), "utf8");
  };
  await open(page, "events?field=SubId1&value=%3Dcmd%7C'%20%2FC%20calc'!A0");
  await page.locator(".virtual tbody tr").nth(2).waitFor();
  const events = await download();
  expect(events.startsWith("\ufeffid,account,type,key,occurred_at,received_at,ActionId")).toBe(true);
  expect(events.trimEnd().split("\r\n").length).toBe(4);
  expect(events).toContain(",PENDING,,-5.5,,'=cmd|' /C calc'!A0,");
  const [made] = (await server.get("/v1/subscriptions?limit=200")).data.filter((item: { name: string }) => item.name.startsWith("=SUM"));
  await open(page, `deliveries?subscription=${made.id}`);
  await page.locator(".virtual tbody tr").nth(2).waitFor();
  expect(await download()).toContain(`"'=SUM(A1) ""quoted"", name"`);
});

test("waits that grow are set and taken back", async () => {
  const made = await subscription("Growing", "/growing");
  await open(page, `subscriptions/${made.id}`);
  await page.getByRole("radio", { name: "Growing" }).check();
  await page.getByLabel("First wait").fill("5");
  await page.getByLabel("Factor").fill("3");
  await page.getByLabel("Longest wait").fill("3600");
  await page.getByLabel("Attempts", { exact: true }).fill("4");
  await page.getByText("4 attempts, the last one 1 min 5 s after the first at the earliest.").waitFor();
  await page.getByRole("button", { name: "Save changes" }).click();
  const saved = async () => (await server.get(`/v1/subscriptions/${made.id}`)).retry;
  await until("the rule", async () => (await saved()).exponential);
  expect((await saved()).exponential).toEqual({ initial_s: 5, factor: 3, max_s: 3600 });
  // A value that the server does not take is told where it stands.
  await page.getByLabel("Factor").fill("30");
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.locator(".field.faulty", { hasText: "Factor" }).getByText("use 1 to 10").waitFor();
  await page.getByRole("radio", { name: "One by one" }).check();
  await page.getByRole("button", { name: "Save changes" }).click();
  await until("the schedule", async () => !(await saved()).exponential);
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
