#!/usr/bin/env -S deno run -A
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { stdout } from "node:process";
import type { BrowserContextOptions, Page } from "playwright-core";
import { launchBrowser, newPage, PHONE, signIn } from "../e2e/browser/browser.ts";
import { type Program, start, temporaryFolder } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { runShop, type Shop } from "./shop.ts";

/*
 * Makes the pictures of the console for docs/, from the rules beside this file with real events, in Debian's Chromium.
 * Usage: deno task screenshots
 */

const FOLDER = new URL("../../docs/pictures", import.meta.url).pathname;
const RULES = new URL("./rules", import.meta.url).pathname;
const MOST_BYTES = 150_000;
const DESK: BrowserContextOptions = { viewport: { width: 1280, height: 600 } };

/** The name of each picture and the page on it. */
const PICTURES: [string, (shop: Shop) => string][] = [
  ["overview", () => "/"],
  ["rules", () => "/rules"],
  ["rule", () => "/rules/shop/fulfil"],
  ["events", () => "/events"],
  ["event", ({ order }) => `/events/${order}`],
  ["runs", () => "/runs"],
  ["run", ({ waiting }) => `/runs/${waiting}`],
  ["forms", () => "/forms"],
  ["form", ({ form }) => `/forms/${form}`],
  ["help", () => "/help"],
];
/** Those that are also taken on a phone. */
const ON_PHONE = ["overview", "run"];

async function signInAsAnna(page: Page, program: Program): Promise<void> {
  await signIn(page, `${await program.url()}/forms/sign-in`, "anna");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

async function take(page: Page, url: string, name: string): Promise<void> {
  await page.goto(url);
  const live = page.locator("#live");
  if (await live.count() > 0) await live.getByText("live").waitFor();
  const path = join(FOLDER, `${name}.png`);
  await page.screenshot({ path, animations: "disabled" });
  const { size } = await stat(path);
  stdout.write(`${path}: ${Math.ceil(size / 1_000)} kB\n`);
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, more than ${MOST_BYTES}: show less on it`);
}

await mkdir(FOLDER, { recursive: true });
await using temporary = await temporaryFolder();
await using peer = await WebServer.start();
await using program = start(RULES, { data: temporary.path, env: { SHOP: peer.url } });
const shop = await runShop(program, peer);
const browser = await launchBrowser();
try {
  for (const [suffix, options] of [["", DESK], ["-phone", PHONE]] as const) {
    const page = await newPage(browser, { ...options, timezoneId: "UTC" });
    await signInAsAnna(page, program);
    for (const [name, path] of PICTURES) {
      if (suffix !== "" && !ON_PHONE.includes(name)) continue;
      await take(page, `${await program.url()}${path(shop)}`, name + suffix);
    }
  }
} finally {
  await browser.close();
}
