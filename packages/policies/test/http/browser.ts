import assert from "node:assert/strict";
import { findProgram } from "@elasti/local";
import { type Browser, chromium, type Page } from "playwright-core";

const program = findProgram("chromium", process.env.PATH);

/** Why a suite that opens a page cannot run here; with CI=true the suite runs and fails. */
export const missingChromium =
  program === undefined && process.env.CI !== "true" ? "missing program: chromium (Debian package chromium)" : false;

/** A real browser, without a window and without a name that resolves. */
export async function startBrowser(): Promise<Browser> {
  assert.ok(program !== undefined, "missing program: chromium (Debian package chromium)");
  const args = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];
  return await chromium.launch({ executablePath: program, args, timeout: 30_000 });
}

/** A page that is opened, with everything that it asks and complains about. */
export class OpenedPage {
  readonly page: Page;
  /** Address of every request, in order. */
  readonly asked: string[] = [];
  /** What the browser's console was told of, but for what is only said for information. */
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("request", (request) => this.asked.push(request.url()));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("requestfailed", (request) => this.complaints.push(`${request.url()} ${request.failure()?.errorText}`));
  }

  static async open(browser: Browser, url: string): Promise<OpenedPage> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(30_000);
    const opened = new OpenedPage(await context.newPage());
    await opened.page.goto(url);
    return opened;
  }

  /** What the browser keeps for the page, whatever the means. */
  async kept(): Promise<unknown> {
    return {
      cookies: await this.page.context().cookies(),
      ...(await this.page.evaluate<object>(`(async () => ({
        local: Object.entries(localStorage),
        session: Object.entries(sessionStorage),
        databases: await indexedDB.databases(),
        caches: await caches.keys(),
        workers: (await navigator.serviceWorker.getRegistrations()).length,
        history: JSON.stringify(history.state),
      }))()`)),
    };
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}
