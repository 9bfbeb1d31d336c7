import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { browserTest, newPage } from "./browser.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { until } from "../until.ts";

const RULES = {
  "shop/pay.yaml": `
when: { event: order.paid }
if: event.data.amount > 100
then:
  - id: ship
    run: [sh, -c, "test -e $WHENTHEN_TEST_NEVER"]
    retry: { attempts: 1 }
`,
  "ops/pulse.yaml": "when: { event: pulse }\nthen: [{ log: pulse }]\n",
  "slow.yaml": "when: { event: slow }\nthen: [{ waitFor: go.on }]\n",
};

async function open() {
  const folder = await rulesFolder(RULES);
  return { folder, program: start(folder.rules, { data: folder.data }) };
}

async function emit(program: Program, type: string, subject: string, data: unknown = {}): Promise<void> {
  await program.post("/api/emit", { type, subject, data: data as never });
}

async function allEnded(program: Program, count: number): Promise<void> {
  await until(
    "the runs to end",
    () => program.api("runs?limit=500"),
    (runs: { state: string }[]) => runs.filter(({ state }) => ["succeeded", "failed"].includes(state)).length >= count,
  );
}

browserTest(
  "why an event started nothing is found by its subject and Enter, with and without scripts",
  async (browser) => {
    const { folder, program } = await open();
    await using _folder = folder;
    await using _program = program;
    await emit(program, "order.paid", "A-17", { amount: 3 });
    for (const javaScriptEnabled of [true, false]) {
      const page = await newPage(browser, { javaScriptEnabled });
      await page.goto(await program.url());
      for (let tabs = 0; tabs < 20 && await page.evaluate("document.activeElement.name") !== "q"; tabs++) {
        await page.keyboard.press("Tab");
      }
      await page.keyboard.type("A-17");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "order.paid started nothing at one rule" }).waitFor();
      const row = await page.getByRole("row", { name: /condition shop\/pay/ }).innerText();
      assert.match(row, /event\.data\.amount > 100/);
      await page.context().close();
    }
  },
);

browserTest(
  "a live list counts newer rows and changes states in place: nothing moves, closes or loses the focus",
  async (browser) => {
    const { folder, program } = await open();
    await using _folder = folder;
    await using _program = program;
    await emit(program, "slow", "S-1");
    for (let at = 0; at < 6; at++) await emit(program, "pulse", `p${at}`);
    await allEnded(program, 6);
    const page = await newPage(browser, { viewport: { width: 1280, height: 800 } });
    await page.goto(`${await program.url()}/runs`);
    await page.locator("#live").getByText("live").waitFor();
    await page.getByText("×6 succeeded").click();
    await page.getByRole("link", { name: "waiting" }).last().focus();
    const before = await page.locator("table.rows").boundingBox();
    await emit(program, "pulse", "newer");
    await page.getByRole("link", { name: "1 newer" }).waitFor();
    await emit(program, "go.on", "S-1");
    await page.locator("tbody").getByText("succeeded").nth(1).waitFor();
    await page.getByRole("row", { name: /slow/ }).getByRole("link", { name: "succeeded" }).waitFor();
    assert.deepEqual(await page.locator("table.rows").boundingBox(), before, "nothing moved");
    assert.equal(await page.locator("details[open] ul.folded").count(), 1, "what was open is open");
    assert.match(String(await page.evaluate("document.activeElement.textContent")), /succeeded/, "the focus stayed");
    await page.getByRole("link", { name: "1 newer" }).click();
    await page.getByText("×7 succeeded").waitFor();
    await page.context().close();
  },
);

browserTest("Back brings a filtered list back with its filter, its place and its open rows", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  for (let at = 0; at < 12; at++) {
    for (let pulse = 0; pulse < 3; pulse++) await emit(program, "pulse", `p${at}.${pulse}`);
    await emit(program, "order.paid", `A-${at}`, { amount: 200 });
  }
  await allEnded(program, 48);
  const page = await newPage(browser, { viewport: { width: 1280, height: 400 } });
  await page.goto(`${await program.url()}/runs`);
  await page.getByLabel("From").fill("1h");
  await page.keyboard.press("Enter");
  await page.waitForURL(/from=1h/);
  await page.getByText("×3 succeeded").nth(2).click();
  await page.evaluate("scrollTo(0, 200)");
  await page.getByRole("link", { name: "shop/pay" }).nth(3).click();
  await page.waitForURL(/\/runs\/[0-9a-z]{20}/);
  await page.goBack();
  await page.waitForURL(/from=1h/);
  assert.equal(await page.getByLabel("From").inputValue(), "1h");
  await until("the open row", () => page.locator("details[open] ul.folded").count(), (count) => count === 1);
  await until("the place", () => page.evaluate("scrollY"), (at) => Math.abs(Number(at) - 200) < 100);
  await page.context().close();
});

browserTest(
  "a fifth page of a session is paused and says so, until another one is hidden or closed",
  async (browser) => {
    const { folder, program } = await open();
    await using _folder = folder;
    await using _program = program;
    const first = await newPage(browser);
    const context = first.context();
    const pages = [first, ...await Promise.all(Array.from({ length: 3 }, () => context.newPage()))];
    for (const page of pages) {
      await page.goto(`${await program.url()}/runs`);
      await page.locator("#live").getByText(/^live$/).waitFor();
    }
    const fifth = await context.newPage();
    await fifth.goto(`${await program.url()}/runs`);
    await fifth.locator("#live").getByText("paused: live in other tabs").waitFor();
    const becomesLive = (page: Page) =>
      until("room", async () => {
        await page.reload();
        return await page.locator("#live[data-state]").innerText();
      }, (text) => text === "live");
    // Nobody sees it, so it closes its stream.
    await first.evaluate(
      `Object.defineProperty(document, "hidden", { get: () => true });
    document.dispatchEvent(new Event("visibilitychange"))`,
    );
    await becomesLive(fifth);
    const sixth = await context.newPage();
    await sixth.goto(`${await program.url()}/runs`);
    await sixth.locator("#live").getByText("paused: live in other tabs").waitFor();
    await pages[1].close();
    await becomesLive(sixth);
    await context.close();
  },
);

browserTest("the head says since when there is no contact", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const page = await newPage(browser);
  await page.goto(`${await program.url()}/events`);
  await page.locator("#live").getByText("live").waitFor();
  await program.stop();
  await page.locator("#live").getByText(/^no contact since \d\d:\d\d$/).waitFor();
  await page.context().close();
});
