// Text from outside that tries to become part of the page: event fields, names, headers, bodies of answers.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chrome, fill, open, Postrider, Receiver, until } from "./world";

const ATTACKS = [
  `<img src=x onerror="window.broken=1">`,
  `"><script>window.broken=1</script>`,
  `</pre></textarea></title><svg onload=window.broken=1>`,
  `javascript:window.broken=1`,
  `'-window.broken=1-'\${window.broken=1}{{window.broken=1}}`,
  `\u202e<iframe srcdoc="<script>parent.broken=1</script>">`,
];
/** One for every field: which one turns with the field's number. */
const attack = (n: number): string => ATTACKS[n % ATTACKS.length] ?? "";

let [chrome, server, receiver] = [] as unknown as [Chrome, Postrider, Receiver];
let page: Page;
let [event, delivery, subscription] = ["", "", ""];
const action = `1<img src=x onerror="window.broken=1">`;

beforeAll(async () => {
  [chrome, server, receiver] = await Promise.all([Chrome.start(), Postrider.start(), Receiver.start()]);
  receiver.answer("/hook", {
    status: 404,
    headers: { "content-type": "text/html", "x-attack": attack(0), location: "javascript:window.broken=1" } as Record<string, string>,
    body: `<!doctype html><script>window.broken=1</script>${ATTACKS.join("\n")}`,
  });
});

afterAll(async () => {
  await Promise.all([chrome?.stop(), server?.stop(), receiver?.stop()]);
});

const unharmed = async () => {
  const found = await page.evaluate(() => ({
    broken: (window as unknown as { broken?: number }).broken,
    // Nothing of what came from outside has become an element or a link.
    elements: document.querySelectorAll("img, iframe, object, embed, script:not([src]), svg[onload], [onerror], a[href^='javascript:' i], b[class='x']").length,
  }));
  expect(found).toEqual({ broken: undefined, elements: 0 });
  expect(chrome.faults).toEqual([]);
};

test("hostile text everywhere stays text on every screen", async () => {
  await server.post("/v1/accounts", { id: "acme", name: attack(0) });
  const types = (await server.get("/v1/event-types")).data as { type: string; fields: { name: string; type: string }[] }[];
  const fields = types.find((type) => type.type === "action.tracked")?.fields ?? [];
  expect(fields.length).toBeGreaterThan(20);
  const data: Record<string, unknown> = { ActionId: action, [`extra${attack(1)}`]: attack(2), nested: { [attack(3)]: [attack(4)] } };
  fields.forEach((field, n) => {
    if (field.name !== "ActionId") data[field.name] = attack(n);
  });
  // Lists of the catalogue hold objects.
  data.items = [{ sku: attack(0), [`x${attack(1)}`]: attack(2) }];
  for (const field of fields.filter((field) => /list/i.test(field.type) && field.name !== "items")) delete data[field.name];
  subscription = (
    await server.post("/v1/subscriptions", {
      account: "acme",
      name: attack(1),
      event_types: ["action.*"],
      where: {},
      request: {
        method: "POST",
        url: `${receiver.url("/hook")}?a=%3Cscript%3E&b={SubId1}`,
        headers: [{ name: "X-Attack", value: attack(0) }],
        body_format: "raw",
        body: `<script>window.broken=1</script>{ActionId}{SubId1}{CampaignName}`,
      },
      success_response: `contains:${attack(2)}`,
      error_response: `regex:${"<script>"}`,
    })
  ).id;
  await server.post("/v1/keys", { name: attack(3), scope: "account", account: "acme" });
  event = (await server.event("acme", "action.tracked", data)).id;
  delivery = (await until("an attempt", async () => (await server.get("/v1/deliveries")).data.find((item: { attempts: number }) => item.attempts > 0))).id;

  page = await chrome.page(server, server.key);
  const screens = [
    "overview",
    "subscriptions",
    `subscriptions/${subscription}`,
    "deliveries",
    `deliveries/${delivery}`,
    "events",
    `events?field=SubId1&value=${encodeURIComponent(String(data.SubId1))}`,
    `events/${event}`,
    `actions/${encodeURIComponent(action)}/acme`,
    "replays",
    `replays?new=1&subscription=${subscription}`,
    "macros",
    "accounts",
    "keys",
    "audit",
    // Addresses are text from outside too.
    `deliveries/${encodeURIComponent(attack(0))}`,
    `deliveries?state=${encodeURIComponent(attack(0))}&subscription=${encodeURIComponent(attack(1))}`,
    `${encodeURIComponent(attack(0))}`,
  ];
  for (const screen of screens) {
    await page.goto("about:blank");
    await page.goto(`${server.url}/#/${screen}`);
    await page.locator("main h1, main h2").first().waitFor();
    await page.waitForLoadState("networkidle");
    await unharmed();
  }
});

test("hostile text in offers, links and reports stays text", async () => {
  await server.post("/v1/accounts", { id: "shop", name: attack(1) });
  await server.post("/v1/offers", {
    id: "evil",
    account: "shop",
    name: attack(0),
    landing_url: `${receiver.url("/landing")}?s={sub_id1}&c={click_id}`,
    currency: "USD",
    campaign_id: attack(1),
    actions: [{ name: attack(2), action_type: attack(3), rate: "1", template: attack(4) }],
    statuses: { hold: [attack(0)], approved: [attack(5)], rejected: [attack(4)] },
    parameter_templates: [{ name: attack(4), state: "active", parameters: [{ name: "city", field: "Text1" }] }],
  });
  const key = await server.post("/v1/inbound-keys", { account: "shop", offer: "evil", name: attack(2) });
  const link = new URLSearchParams(["sub_id1", "sub_id2", "sub_id3", "shared_id", "promo_id", "promo_code", "campaign_id", "traffic_source", "utm_source"].map((name, n) => [name, attack(n)]));
  const hostile = { "user-agent": `<img src=x onerror="window.broken=1">`, referer: "https://evil.example/<svg onload=window.broken=1>" };
  const visit = await fetch(`${server.url}/acme/c/evil?${link}`, { redirect: "manual", headers: hostile });
  const click = new URL(visit.headers.get("location") ?? "").searchParams.get("c") ?? "";
  expect(click).not.toBe("");
  const report = async (parameters: Record<string, string>) => {
    const answer = await fetch(`${server.url}/${key.key}/s2s`, { method: "POST", headers: { "content-type": "application/json", ...hostile }, body: JSON.stringify(parameters) });
    return (await answer.json()) as { status: string; lead_id?: string };
  };
  const right = { click_id: click, request_id: attack(1), action: attack(2), status: attack(0), comment: attack(3), city: attack(4), customer_id: attack(5), [`x${attack(0)}`]: attack(2) };
  const taken = await report(right);
  expect(taken.status).toBe("success");
  await report({ ...right, status: attack(5) });
  await report({ ...right, status: attack(4) });
  for (const name of ["click_id", "action", "status", "price"]) await report({ ...right, request_id: `<b class="x">${name}</b>`, [name]: attack(0) + name });
  await fetch(`${server.url}/${crypto.randomUUID()}/s2s?${new URLSearchParams(right)}`, { headers: hostile });
  const calls = (await server.get("/v1/inbound-calls?limit=200")).data as { id: string; result: string }[];
  expect(new Set(calls.map((call) => call.result))).toEqual(new Set(["success", "conflict", "error"]));
  const run = await server.post("/v1/offers/evil/test-runs", { partner: "acme", action: attack(2) });
  await fetch(run.link, { redirect: "manual", headers: hostile });
  await server.call("POST", `/v1/test-runs/${run.id}/report`, { status: attack(0) });
  const screens = [
    "offers",
    "offers/evil",
    "offers/evil/codes",
    `offers/evil/test?run=${run.id}`,
    "inbound-keys",
    "inbound-calls",
    ...calls.map((call) => `inbound-calls/${call.id}`),
    `inbound-calls?result=${encodeURIComponent(attack(0))}&click=${encodeURIComponent(attack(1))}&code=${encodeURIComponent(attack(2))}`,
    "clicks",
    `clicks/${click}`,
    "actions",
    `actions/${taken.lead_id}/acme`,
    `offers/${encodeURIComponent(attack(0))}`,
    `clicks/${encodeURIComponent(attack(0))}`,
  ];
  for (const screen of screens) {
    await page.goto("about:blank");
    await page.goto(`${server.url}/#/${screen}`);
    await page.locator("main h1, main h2").first().waitFor();
    await page.waitForLoadState("networkidle");
    await unharmed();
  }
});

test("the answer of a receiver is shown as text, also in the test panel", async () => {
  await open(page, `deliveries/${delivery}`);
  await page.getByText("<!doctype html><script>window.broken=1</script>").waitFor();
  await page.getByRole("tab", { name: "Request as sent" }).click();
  await page.locator(".exchange pre", { hasText: "<script>window.broken=1</script>" }).waitFor();
  await unharmed();
  await open(page, `subscriptions/${subscription}`);
  await page.getByLabel("With this event").selectOption(`real ${event}`);
  await page.locator(".preview pre", { hasText: "<script>window.broken=1</script>" }).waitFor();
  await page.getByRole("tab", { name: "Send test" }).click();
  await page.getByRole("button", { name: "Send test now" }).click();
  await page.locator(".test-result pre", { hasText: "<!doctype html>" }).waitFor();
  await unharmed();
});

test("hostile macros are shown as text by the editor", async () => {
  await fill(page, "URL", `${receiver.url("/hook")}?a={${"<img src=x onerror=window.broken=1>"}}&b={Sub<b>Id}&c={Paiout}`);
  await page.locator(".finding.bad", { hasText: "Paiout" }).first().waitFor();
  await page.locator(".cm-lintRange-error").first().hover();
  await unharmed();
});

test("the page cannot be framed, and the policy allows nothing inline", async () => {
  const response = await fetch(`${server.url}/`);
  const policy = response.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  // The policy is at work: what is inline does not run, and the breach is reported.
  const refused = await page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.broken=1'>");
      return "";
    } catch (error) {
      return String(error);
    }
  });
  expect(refused).toContain("TrustedHTML");
  await until("a report of the breach", () => chrome.faults.splice(0).some((fault) => /TrustedHTML|Content Security Policy/.test(fault)));
  expect(await page.evaluate(() => (window as unknown as { broken?: number }).broken)).toBeUndefined();
});
