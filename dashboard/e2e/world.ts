// What a browser test stands on: a real server with an empty folder, a local receiver, and Chromium.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page, type Route } from "playwright-core";

const PROGRAM = process.env.POSTRIDER_PROGRAM ?? join(import.meta.dirname, "../../target/debug/postrider");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/**
 * A folder that `npm run build` has written, to try a change of the pages without building the program again. The headers
 * are still the server's.
 */
const BUILT = process.env.POSTRIDER_DASHBOARD_DIST;

const fromFolder = (folder: string) => async (route: Route) => {
  const path = new URL(route.request().url()).pathname;
  const page = await route.fetch({ url: new URL("/", route.request().url()).href });
  const type = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" }[path.split(".").at(-1) ?? ""] ?? "text/html; charset=utf-8";
  await route.fulfill({ headers: { ...page.headers(), "content-type": type }, body: readFileSync(join(folder, path === "/" ? "index.html" : path)) });
};

/** Up to so many milliseconds are put before each call of a page, which brings to light what a fast server hides. */
const DELAY = Number(process.env.POSTRIDER_E2E_DELAY ?? 0);

const delayed = async (route: Route) => {
  await new Promise((done) => setTimeout(done, Math.random() * DELAY));
  await route.fallback().catch(() => {}); // the page may be gone
};

export interface Received {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
}

/** A receiver that answers as it is told, by path. */
export class Receiver {
  readonly received: Received[] = [];
  private replies = new Map<string, Reply>();

  private constructor(private server: Server) {}

  static async start(): Promise<Receiver> {
    const receiver = new Receiver(createServer());
    receiver.server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const url = request.url ?? "/";
        receiver.received.push({ method: request.method ?? "", url, headers: request.headers, body: Buffer.concat(chunks).toString() });
        const reply = receiver.replies.get(url.split("?")[0] ?? "") ?? {};
        response.writeHead(reply.status ?? 200, { "content-type": "text/plain", ...reply.headers });
        response.end(reply.body ?? "OK");
      });
    });
    await new Promise<void>((done) => receiver.server.listen(0, "127.0.0.1", done));
    return receiver;
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${path}`;
  }

  /** From now on `path` is answered so. */
  answer(path: string, reply: Reply): void {
    this.replies.set(path, reply);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

/** A `postrider serve` with an empty folder. */
export class Postrider {
  private constructor(
    private process: ChildProcess,
    readonly folder: string,
    readonly url: string,
    readonly key: string,
  ) {}

  static async start(more: string[] = [], variables: Record<string, string> = {}): Promise<Postrider> {
    if (!existsSync(PROGRAM)) throw new Error(`there is no program ${PROGRAM}; build it with \`cargo build\``);
    const folder = mkdtempSync(join(tmpdir(), "postrider-e2e-"));
    const child = spawn(PROGRAM, ["serve", "--data", folder, "--listen", "127.0.0.1:0", "--allow-private", ...more], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...variables } });
    let said = "";
    const url = await new Promise<string>((found, fail) => {
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const address = /serves (http:\S+)\n/.exec(said)?.[1];
        if (address) found(address);
      });
      child.on("exit", () => fail(new Error(`the server ended: ${said}`)));
    });
    return new Postrider(child, folder, url, readFileSync(join(folder, "operator.key"), "utf8").trim());
  }

  /** Calls the API; throws what it answers if it is no success. */
  async call<T = any>(method: string, path: string, body?: unknown, key: string = this.key): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  get<T = any>(path: string, key?: string): Promise<T> {
    return this.call("GET", path, undefined, key);
  }

  post<T = any>(path: string, body?: unknown, key?: string): Promise<T> {
    return this.call("POST", path, body, key);
  }

  /** Reports an event. */
  event(account: string, type: string, data: Record<string, unknown>): Promise<{ id: string; deliveries: string[] }> {
    return this.post("/v1/events", { account, type, data });
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null) {
      const ended = new Promise((done) => this.process.once("exit", done));
      this.process.kill("SIGTERM");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until `probe` gives something; fails with `what` after ten seconds. */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ten seconds for ${what}`);
    await new Promise((again) => setTimeout(again, 50));
  }
}

export interface View {
  width: number;
  height: number;
}

export const WIDE: View = { width: 1280, height: 800 };
export const NARROW: View = { width: 390, height: 844 };

/** A browser whose pages report every breach of the policy and every error of a script. */
export class Chrome {
  readonly faults: string[] = [];

  private constructor(private browser: Browser) {}

  static async start(): Promise<Chrome> {
    if (!existsSync(CHROMIUM)) throw new Error(`there is no ${CHROMIUM}; run .ci/browser`);
    return new Chrome(await chromium.launch({ executablePath: CHROMIUM, args: FLAGS }));
  }

  /** A page of a new tab that is signed in with `key`, if one is given. */
  async page(server: Postrider, key?: string, view: View = WIDE, colorScheme: "light" | "dark" = "light", bypassCSP = false): Promise<Page> {
    const context: BrowserContext = await this.browser.newContext({
      viewport: view,
      colorScheme,
      bypassCSP,
      locale: "en-GB",
      timezoneId: "UTC",
      reducedMotion: "reduce",
      permissions: ["clipboard-read", "clipboard-write"],
    });
    if (BUILT) await context.route((url) => url.origin === server.url && /^\/(assets\/.*)?$/.test(url.pathname), fromFolder(BUILT));
    if (DELAY) await context.route((url) => url.origin === server.url && url.pathname.startsWith("/v1/"), delayed);
    if (key) await context.addInitScript((text) => location.protocol !== "about:" && sessionStorage.setItem("postrider.key", text), key);
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    page.on("pageerror", (error) => this.faults.push(`error of a script: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`a script opened a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      if (/Content Security Policy|Trusted ?Types|TrustedHTML/i.test(message.text())) this.faults.push(message.text());
    });
    page.on("request", (request) => {
      const to = request.url();
      if (!to.startsWith(server.url) && !to.startsWith("data:")) this.faults.push(`a request to another origin: ${to}`);
    });
    await page.goto(`${server.url}/`);
    return page;
  }

  async stop(): Promise<void> {
    await this.browser.close();
  }
}

/** Opens a screen by its address after `#`. */
export async function open(page: Page, address: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `#/${address}`);
  await page.locator("main h1").first().waitFor();
}

/** The text surface of a template editor, by its label. */
export function editor(page: Page, label: string) {
  return page.getByRole("textbox", { name: label, exact: true });
}

/** Replaces what an editor holds. Pasting keeps brackets from being completed. */
export async function fill(page: Page, label: string, text: string): Promise<void> {
  const field = editor(page, label);
  await field.click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}
