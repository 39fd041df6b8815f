// Every screen in light and dark, wide and narrow: no serious fault for people who use aids, nothing cut off,
// everything by keyboard. The pictures of docs/images are taken here.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chrome, fill, NARROW, open, Postrider, Receiver, until, WIDE } from "./world";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Pictures change with every run; those of the documentation are renewed when that is asked for. */
const RENEW = process.env.UPDATE_DOCS === "1";
const IMAGES = RENEW ? join(import.meta.dirname, "../../docs/images") : mkdtempSync(join(tmpdir(), "postrider-pictures-"));
const IMAGE_MAX = 200 * 1024;

let [chrome, server, receiver] = [] as unknown as [Chrome, Postrider, Receiver];
const ids: Record<string, string> = {};

beforeAll(async () => {
  [chrome, server, receiver] = await Promise.all([Chrome.start(), Postrider.start(), Receiver.start()]);
  receiver.answer("/ingest", { headers: { "content-type": "application/json" }, body: '{"status":"OK","booked":1}' });
  receiver.answer("/old", { status: 404, headers: { "content-type": "application/json" }, body: '{"error":"campaign 1000 is closed"}' });
  receiver.answer("/busy", { status: 503, headers: { "retry-after": "120" }, body: "try later" });
  await server.post("/v1/accounts", { id: "acme", name: "Acme Media", fields: ["LoyaltyTier"] });
  await server.post("/v1/accounts", { id: "northwind", name: "Northwind Cashback" });
  const make = async (name: string, account: string, request: Record<string, unknown>, more: Record<string, unknown> = {}) =>
    (await server.post("/v1/subscriptions", { account, name, event_types: ["action.*"], request, ...more })).id as string;
  ids.tracker = await make("Approved sales to Voluum", "acme", { url: `${receiver.url("/postback")}?cid={SubId1}&payout={Payout}&txid={ActionId}&et={Status}` }, { success_response: "contains:OK", max_requests_per_second: 200 });
  ids.json = await make("Warehouse, JSON with items", "acme", {
    method: "POST",
    url: receiver.url("/ingest"),
    headers: [{ name: "X-Campaign", value: "{CampaignId}" }],
    body_format: "json",
    body: '{\n  "action_id": "{ActionId}",\n  "status": "{Status}",\n  "payout": {Payout},\n  "items": [{join(items, i, "\\{\\"sku\\":\\"{i.sku}\\"\\}")}]\n}',
  }, { success_response: "json:/status=OK" });
  ids.old = await make("Old tracker", "acme", { url: `${receiver.url("/old")}?txid={ActionId}&s={Status}` }, { event_types: ["action.tracked"], where: { SubId1: ["w8TnE3kQ3", "w8TnE3kQ10", "w8TnE3kQ17"] } });
  ids.busy = await make("Cashback ledger", "northwind", { method: "POST", url: receiver.url("/busy"), body: "id={ActionId}&s={Status}" }, { order: "action" });
  await server.post("/v1/keys", { name: "Partner portal", scope: "account", account: "acme" });
  await server.post("/v1/keys", { name: "Reporting", scope: "read" });
  await server.post("/v1/accounts", { id: "shop", name: "Summer Shop" });
  await server.post("/v1/offers", {
    id: "summer-shop",
    account: "shop",
    name: "Summer shop",
    landing_url: `${receiver.url("/landing")}?src={sub_id2}&c={click_id}`,
    currency: "EUR",
    actions: [
      { name: "sale", action_type: "SALE", model: "percent", rate: "7.5", partner_percent: "80", template: "delivery" },
      { name: "newsletter", rate: "1.20", locks: true },
    ],
    parameter_templates: [{ name: "delivery", state: "active", parameters: [{ name: "city", field: "Text1" }] }],
  });
  await server.post("/v1/offers", { id: "loans", account: "shop", name: "Loans of the winter", state: "paused", landing_url: receiver.url("/loans"), currency: "EUR", partners: ["acme"], actions: [{ name: "application", rate: "30.00" }] });
  await server.post("/v1/inbound-keys", { account: "shop", offer: "summer-shop", name: "Shop's server", addresses: ["127.0.0.0/8"] });
  await server.post("/v1/inbound-keys", { account: "shop", name: "Upstream network", per_second: 20, expires_at: "2099-01-01T00:00:00Z" });
  const [, key] = (await server.get("/v1/inbound-keys")).data as { key: string }[];
  for (let n = 1; n <= 6; n++) {
    const link = await fetch(`${server.url}/${n % 3 === 0 ? "northwind" : "acme"}/c/summer-shop?sub_id1=w8TnE3kQ${n}&sub_id2=newsletter`, { redirect: "manual" });
    const click = new URL(link.headers.get("location") ?? "").searchParams.get("c") ?? "";
    const report = (more: Record<string, string>) => fetch(`${server.url}/${key?.key}/s2s?${new URLSearchParams({ click_id: click, request_id: `order-${1000 + n}`, action: "sale", price: `${20 + n}.90`, status: "new", ...more })}`);
    await report({ city: "Lyon" });
    if (n % 2 === 0) await report({ status: "confirmed" });
    if (n === 3) await report({ status: "returned", comment: "sent back by the customer" });
    if (n === 4) await report({ status: "returned" });
    if (n === 5) await report({ status: "perhaps", request_id: "order-2000" });
    ids.click = click;
  }
  const calls = (await server.get("/v1/inbound-calls")).data as { id: string; result: string; lead: string }[];
  ids.call = calls.find((call) => call.result === "success")?.id ?? "";
  ids.lead = calls.find((call) => call.result === "conflict")?.lead ?? "";
  ids.refused = calls.find((call) => call.result === "error")?.id ?? "";
  const run = await server.post("/v1/offers/summer-shop/test-runs", { partner: "acme", action: "sale", price: "50.00" });
  await fetch(run.link, { redirect: "manual" });
  await server.post(`/v1/test-runs/${run.id}/report`, { status: "new" });
  ids.run = run.id;
  for (let n = 1; n <= 24; n++) {
    const account = n % 4 === 0 ? "northwind" : "acme";
    const data = { ActionId: `1000.4636.${158100 + n}`, CampaignId: "1000", CampaignName: "Acme Campaign", SubId1: `w8TnE3kQ${n}`, Amount: 120.5, Currency: "EUR", items: [{ sku: `A-${n}` }, { sku: `B-${n}` }] };
    const report = (type: string, more: object) => server.post("/v1/events", JSON.stringify({ account, type, data: { ...data, ...more } }).replace('"Payout":5', '"Payout":5.00'));
    await report("action.tracked", { Status: "PENDING", Payout: 5 });
    if (n % 2 === 0) await report("action.modified", { Status: "APPROVED", Payout: 5 });
    if (n % 5 === 0) await report("action.reversed", { Status: "REVERSED", Payout: 0 });
  }
  const first = async (query: string) => (await server.get(`/v1/deliveries?${query}`)).data[0];
  ids.dead = (await until("a dead delivery", () => first(`state=dead&subscription=${ids.old}`))).id;
  const delivered = await until("a delivered one", () => first(`state=delivered&subscription=${ids.json}`));
  [ids.delivered, ids.event] = [delivered.id, delivered.event];
  await until("all attempts", async () => (await server.get("/v1/deliveries?limit=200")).data.filter((item: { account: string; attempts: number }) => item.account === "acme" && item.attempts === 0).length === 0);
  await server.post("/v1/replays", { subscription: ids.old, states: ["dead"], dry_run: false });
  await until("the replay", async () => (await server.get("/v1/replays")).data.some((item: { state: string }) => item.state === "done"));
});

afterAll(async () => {
  if (!RENEW) rmSync(IMAGES, { recursive: true, force: true });
  await Promise.all([chrome?.stop(), server?.stop(), receiver?.stop()]);
});

const screens = (): Record<string, string> => ({
  overview: "overview",
  subscriptions: "subscriptions",
  "new-subscription": "subscriptions/new",
  preset: "subscriptions/new?preset=keitaro",
  editor: `subscriptions/${ids.json}`,
  deliveries: "deliveries",
  delivery: `deliveries/${ids.dead}`,
  delivered: `deliveries/${ids.delivered}`,
  events: "events",
  event: `events/${ids.event}`,
  action: "actions/1000.4636.158110/acme",
  actions: "actions",
  reported: `actions/${ids.lead}/acme`,
  replays: "replays",
  "new-replay": `replays?new=1&subscription=${ids.old}`,
  macros: "macros",
  offers: "offers",
  "new-offer": "offers/new",
  offer: "offers/summer-shop",
  codes: "offers/summer-shop/codes",
  "new-test": "offers/summer-shop/test",
  test: `offers/summer-shop/test?run=${ids.run}`,
  "inbound-keys": "inbound-keys",
  "inbound-calls": "inbound-calls",
  call: `inbound-calls/${ids.call}`,
  "call-refused": `inbound-calls/${ids.refused}`,
  clicks: "clicks",
  click: `clicks/${ids.click}`,
  "new-inbound-key": "inbound-keys?new=1",
  accounts: "accounts",
  keys: "keys",
  audit: "audit",
  nowhere: "nowhere",
});

/** The screen is complete: nothing is loading, and the preview stands. */
async function settled(page: Page): Promise<void> {
  await page.locator("main h1, main h2").first().waitFor();
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  if (await page.locator(".editor").count()) {
    await page.locator(".cm-content").first().waitFor();
    if (await page.locator(".preview").count()) await page.locator(".preview .url").waitFor();
  }
  await page.evaluate(() => document.fonts.ready);
}

async function serious(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(context: unknown, options: unknown): Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> } };
    const { violations } = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations
      .filter((violation) => ["serious", "critical"].includes(violation.impact))
      .map((violation) => `${violation.id}: ${violation.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary.slice(0, 200)}`).join(" | ")}`);
  });
}

for (const theme of ["light", "dark"] as const) {
  for (const view of [WIDE, NARROW]) {
    test(`every screen, ${theme}, ${view.width} pixels: accessible, nothing cut off`, { timeout: 180_000 }, async () => {
      // The tool for accessibility is put into the page, which the policy of the page would not let in.
      const page = await chrome.page(server, server.key, view, theme, true);
      const found: string[] = [];
      for (const [name, address] of Object.entries(screens())) {
        await open(page, "overview").catch(() => {});
        await page.evaluate((hash) => {
          location.hash = hash;
        }, `#/${address}`);
        await settled(page);
        found.push(...(await serious(page)).map((fault) => `${name}: ${fault}`));
        const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (excess > 0) found.push(`${name}: ${excess} pixels stand out to the right`);
      }
      const out = await chrome.page(server, undefined, view, theme, true);
      await out.getByLabel("API key").waitFor();
      found.push(...(await serious(out)).map((fault) => `sign-in: ${fault}`));
      await page.context().close();
      await out.context().close();
      expect(found).toEqual([]);
    });
  }
}

test("from signing in to a new subscription by keyboard alone", async () => {
  const page = await chrome.page(server);
  const focused = () =>
    page.evaluate(() => {
      let element = document.activeElement;
      if (element === document.body || element?.tagName === "H1") return "";
      while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
      return `${element?.getAttribute("aria-label") ?? ""} ${(element as HTMLElement | null)?.innerText ?? ""} ${element?.id ? (document.querySelector(`label[for="${element.id}"]`)?.textContent ?? "") : ""} ${element?.closest("label")?.textContent ?? ""}`;
    });
  /** Goes on with Tab until what has the focus is called so. */
  const tabTo = async (name: RegExp) => {
    for (let n = 0; n < 120; n++) {
      if (name.test(await focused())) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await tabTo(/API key/);
  await page.keyboard.type(server.key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await tabTo(/Subscriptions/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Subscriptions" }).waitFor();
  await tabTo(/New subscription/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "New subscription" }).waitFor();
  await page.getByRole("link", { name: /Keitaro/ }).waitFor();
  await tabTo(/Keitaro/);
  await page.keyboard.press("Enter");
  await page.getByLabel("Domain of your tracker").waitFor();
  await tabTo(/Domain of your tracker/);
  await page.keyboard.type("tracker.partner.example");
  await tabTo(/The key in your tracker/);
  await page.keyboard.type("a1b2c3d");
  await page.keyboard.press("Enter");
  await page.locator(".cm-content").first().waitFor();
  await tabTo(/^Name|Name\b/);
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("By keyboard");
  // The editor does not trap the keyboard.
  await tabTo(/^URL/);
  await tabTo(/Create subscription/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "By keyboard", level: 1 }).waitFor();
  await page.context().close();
  const made = (await server.get("/v1/subscriptions?limit=200")).data.find((item: { name: string }) => item.name === "By keyboard");
  await server.call("DELETE", `/v1/subscriptions/${made.id}`);
});

test("the pictures of the documentation", { timeout: 180_000 }, async () => {
  mkdirSync(IMAGES, { recursive: true });
  const all = screens();
  const shots: [string, (page: Page) => Promise<void>][] = [
    ["overview", (page) => open(page, "overview")],
    ["subscriptions", (page) => open(page, "subscriptions")],
    [
      "editor",
      async (page) => {
        await open(page, all.editor ?? "");
        await settled(page);
        await page.getByRole("heading", { name: "The request" }).evaluate((heading) => heading.scrollIntoView());
      },
    ],
    [
      "diagnostics",
      async (page) => {
        await open(page, all.editor ?? "");
        await settled(page);
        await fill(page, "URL", "https://tracker.example/postback?cid={SubId1}&payout={Paiout}");
        await page.locator(".finding.bad", { hasText: "Paiout" }).first().waitFor();
        await page.locator("legend", { hasText: "Method" }).first().evaluate((label) => label.scrollIntoView());
      },
    ],
    ["deliveries", (page) => open(page, "deliveries")],
    ["delivery", (page) => open(page, all.delivery ?? "")],
    ["action", (page) => open(page, all.action ?? "")],
    ["actions", (page) => open(page, "actions?offer=summer-shop")],
    ["reported", (page) => open(page, all.reported ?? "")],
    [
      "offer",
      async (page) => {
        await open(page, all.offer ?? "");
        await settled(page);
        await page.getByRole("heading", { name: "Where visitors are sent" }).evaluate((heading) => heading.scrollIntoView());
      },
    ],
    ["test", (page) => open(page, all.test ?? "")],
    ["inbound-calls", (page) => open(page, "inbound-calls")],
    ["call-refused", (page) => open(page, all["call-refused"] ?? "")],
    ["new-subscription", (page) => open(page, all["new-subscription"] ?? "")],
  ];
  const kinds = [
    ["light", WIDE, () => true],
    ["dark", WIDE, (name: string) => ["overview", "diagnostics", "delivery", "call-refused"].includes(name)],
    ["light", NARROW, (name: string) => ["overview", "editor", "deliveries", "delivery", "inbound-calls"].includes(name)],
    ["dark", NARROW, (name: string) => ["overview", "deliveries"].includes(name)],
  ] as const;
  for (const [theme, view, wanted] of kinds) {
    for (const [name, show] of shots.filter(([name]) => wanted(name))) {
      const page = await chrome.page(server, server.key, view, theme);
      await show(page);
      await page.locator(".skeleton").first().waitFor({ state: "detached" });
      const path = join(IMAGES, `${name}-${theme}-${view.width}.png`);
      await page.screenshot({ path, animations: "disabled", caret: "hide" });
      expect(statSync(path).size, path).toBeLessThan(IMAGE_MAX);
      await page.context().close();
    }
  }
});

test("nothing moves when live data comes in, nor when the names of the accounts do", async () => {
  const page = await chrome.page(server);
  let allow = () => {};
  const allowed = new Promise<void>((done) => (allow = done));
  await page.route("**/v1/accounts?*", async (route) => {
    await allowed;
    await route.fallback();
  });
  await page.getByLabel("API key").fill(server.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".tile").first().waitFor();
  await settled(page);
  await page.evaluate(() => {
    type Shift = PerformanceEntry & { value: number; sources: { node: Node | null; previousRect: DOMRect; currentRect: DOMRect }[] };
    const seen = window as unknown as { moved: string[] };
    seen.moved = [];
    const at = (rect: DOMRect) => `${rect.x},${rect.y} ${rect.width}x${rect.height}`;
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries() as Shift[]) {
        seen.moved.push(...[`moved by ${value}:`, ...sources.map((source) => `${source.node?.textContent}: ${at(source.previousRect)} -> ${at(source.currentRect)}`)]);
      }
    }).observe({ type: "layout-shift", buffered: false });
  });
  allow();
  await page.getByRole("option", { name: "Northwind" }).waitFor({ state: "attached" });
  const answers = () => page.waitForResponse((response) => response.url().includes("/v1/stats"));
  // Numbers grow by digits, also those of what is given up and of what waits.
  for (let n = 0; n < 5; n++) {
    const moving = (k: number) => server.event(k % 4 === 0 ? "northwind" : "acme", "action.tracked", { ActionId: `moving.${n}.${k}`, SubId1: "w8TnE3kQ3", Status: "PENDING", Payout: 1 });
    await Promise.all(Array.from({ length: 12 }, (_, k) => moving(k)));
    await answers();
  }
  expect(await page.evaluate(() => (window as unknown as { moved: string[] }).moved)).toEqual([]);
  await page.context().close();
});
