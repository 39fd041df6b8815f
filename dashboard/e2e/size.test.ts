// A hundred thousand deliveries in the list, and how fast the first view is there.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chrome, open, Postrider } from "./world";

const COUNT = 100_000;
const BATCH = 1000;

let [chrome, server] = [] as unknown as [Chrome, Postrider];

beforeAll(async () => {
  [chrome, server] = await Promise.all([Chrome.start(), Postrider.start(["--store", "memory:"])]);
  await server.post("/v1/accounts", { id: "acme" });
  // Paused, so that nothing is sent.
  await server.post("/v1/subscriptions", { account: "acme", name: "Many", event_types: ["action.*"], state: "paused", request: { url: "http://127.0.0.1:9/?t={ActionId}" } });
  for (let n = 0; n < COUNT; n += BATCH) {
    const events = Array.from({ length: BATCH }, (_, index) => `{"account":"acme","type":"action.tracked","data":{"ActionId":"${n + index}"}}`);
    await server.post("/v1/events", `[${events.join(",")}]`);
  }
}, 240_000);

afterAll(async () => {
  await Promise.all([chrome?.stop(), server?.stop()]);
});

test("the first view", async () => {
  const page = await chrome.page(server, server.key);
  await page.context().close();
  const again = await chrome.page(server, server.key);
  await again.locator(".tile-value").first().waitFor();
  const times = await again.evaluate(() => {
    const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return { paint: paint?.startTime ?? 0, loaded: navigation?.loadEventEnd ?? 0, numbers: performance.now() };
  });
  console.log(`first view: first paint ${times.paint.toFixed(0)} ms, loaded ${times.loaded.toFixed(0)} ms, numbers shown by ${times.numbers.toFixed(0)} ms`);
  await again.context().close();
});

test("a hundred thousand deliveries are scrolled to the end", { timeout: 240_000 }, async () => {
  const page = await chrome.page(server, server.key);
  await open(page, "deliveries");
  await page.locator(".virtual tbody tr").first().waitFor();
  const found = await page.evaluate(async (count) => {
    const box = document.querySelector(".virtual");
    if (!box) throw new Error("there is no list");
    const frame = () => new Promise<number>((done) => requestAnimationFrame(done));
    const frames: number[] = [];
    let [rows, before] = [0, await frame()];
    const started = before;
    const rowCount = () => Number(box.querySelector("table")?.getAttribute("aria-rowcount"));
    while (rowCount() !== count + 1) {
      box.scrollTop = box.scrollHeight;
      const now = await frame();
      frames.push(now - before);
      before = now;
      rows = Math.max(rows, box.querySelectorAll("tbody tr").length);
      if (now - started > 200_000) break;
    }
    const sorted = frames.sort((a, b) => a - b);
    return { rows, count: rowCount(), seconds: (before - started) / 1000, median: sorted[sorted.length >> 1], p99: sorted[Math.floor(sorted.length * 0.99)], longest: sorted.at(-1) };
  }, COUNT);
  console.log(`100,000 rows: read in ${found.seconds.toFixed(1)} s; a frame took ${found.median?.toFixed(0)} ms in the median, ${found.p99?.toFixed(0)} ms at 99 %, ${found.longest?.toFixed(0)} ms at most; at most ${found.rows} rows in the page`);
  expect(found.count).toBe(COUNT + 1);
  // Only what is seen is in the page.
  expect(found.rows).toBeLessThan(80);
  // And back to the top, row by row what is there.
  await page.evaluate(() => document.querySelector(".virtual")?.scrollTo(0, 0));
  await page.locator(".virtual tbody tr[aria-rowindex='2']").waitFor();
  await page.context().close();
});
