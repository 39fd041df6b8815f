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
