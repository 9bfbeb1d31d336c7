import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { PASSWORD } from "../forms.ts";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const CHROMIUM = "/usr/bin/chromium";

/** Whether there is a browser to test with: Debian's. */
const hasBrowser = existsSync(CHROMIUM);

/** A test in a real browser; reported and ignored if there is none. */
export function browserTest(name: string, look: (browser: Browser) => Promise<void>): void {
  Deno.test(name, async (t) => {
    if (!hasBrowser) return void await t.step({ name: `${CHROMIUM} is not available here`, ignore: true, fn() {} });
    const browser = await launchBrowser();
    try {
      await look(browser);
    } finally {
      await browser.close();
    }
  });
}

/** Starts the browser; close it. */
export async function launchBrowser(): Promise<Browser> {
  // Chromium's sandbox does not work for root, which containers use.
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  // Containers have little shared memory, and other tests need the processors, too.
  const args = [...sandbox, "--disable-dev-shm-usage"];
  return await chromium.launch({ executablePath: CHROMIUM, args, timeout: 120_000 });
}

/** A separate page, as of another person on another machine. */
export async function newPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  return await context.newPage();
}

/** A phone in portrait orientation. */
export const PHONE: BrowserContextOptions = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

/** Opens an address that asks for a sign-in, and signs in as one of the people in the settings of the tests. */
export async function signIn(page: Page, address: string, name: string): Promise<void> {
  await page.goto(address);
  await page.getByLabel("Name or e-mail address").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The page has no violation of WCAG, and nothing is wider than the screen. */
export async function checkPage(page: Page): Promise<void> {
  const over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
  assert.equal(await page.evaluate(over), 0, page.url());
  assert.deepEqual(await accessibility(page), [], page.url());
}

const AXE = new URL("../../../node_modules/axe-core/axe.min.js", import.meta.url);
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The accessibility violations on the page (WCAG 2.2, A and AA). @param rules only these; all if absent */
export async function accessibility(page: Page, rules?: string[]): Promise<string[]> {
  if (await page.evaluate("typeof axe") === "undefined") await page.evaluate(await readFile(AXE, "utf8"));
  const options = JSON.stringify({ runOnly: rules ?? TAGS, resultTypes: ["violations"] });
  const run =
    `axe.run(${options}).then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))`;
  return await page.evaluate(run);
}

/** What is wrong with an open page at each width, in light and in dark. @param name of the page, for the faults */
export async function faultsOf(page: Page, name: string): Promise<string[]> {
  const faults: string[] = [];
  for (const width of [1280, 360, 320]) {
    await page.setViewportSize({ width, height: 740 });
    if (await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")) {
      faults.push(`${name} scrolls sideways at ${width}`);
    }
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      // Only colours differ between the two.
      const found = await accessibility(page, colorScheme === "dark" ? ["color-contrast"] : undefined);
      faults.push(...found.map((fault) => `${name} at ${width}, ${colorScheme}: ${fault}`));
    }
  }
  if (await page.evaluate("document.querySelectorAll('*').length") as number > 1_500) faults.push(`${name} is large`);
  return faults;
}
