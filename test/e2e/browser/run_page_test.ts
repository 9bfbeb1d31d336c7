import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import type { Run } from "../../../runtime/model/run.ts";
import { accessibility, browserTest, newPage } from "./browser.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { until } from "../until.ts";

/** Fails at a step in the middle of steps of every shape, then waits. */
const EXPORT = `
when: { event: export }
then:
  - id: list
    run: ["sh", "-c", "for i in $(seq 700); do echo line $i; done"]
  - id: both
    parallel:
      bank: [{ id: tell, log: told the bank }]
      customer: [{ id: tell2, log: told the customer }]
  - id: lines
    each: "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]"
    onError: continue
    then: [{ id: save, run: ["sh", "-c", "test $0 != 7 || { echo no room >&2; exit 1; }", "\${{ item }}"] }]
  - id: push
    run: ["cat", "./there"]
    retry: { attempts: 2, delay: 10ms, max: 10ms }
  - id: booked
    waitFor: bank.booked
    timeout: 2d
`;

async function failedRun(program: Program): Promise<string> {
  const { body: { runs: [run] } } = await program.post("/api/emit", { type: "export" });
  await stateOf(program, run, "failed");
  return run;
}

function stateOf(program: Program, run: string, state: Run["state"]): Promise<Run> {
  const look = async () => (await program.api(`runs/${run}`)).run as Run;
  return until(`run ${run} to be ${state}`, look, (seen) => seen.state === state);
}

/** Goes from element to element with the tab key until one has this name. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let steps = 0; steps < 200; steps++) {
    await page.keyboard.press("Tab");
    const text = await page.evaluate("document.activeElement?.textContent?.trim()");
    if (text === name) return;
  }
  assert.fail(`200 steps with the tab key do not reach "${name}"`);
}

for (const javaScriptEnabled of [false, true]) {
  const how = javaScriptEnabled ? "with" : "without";
  browserTest(
    `by keyboard, ${how} scripts: a failed run is understood, retried, and its wait skipped`,
    async (browser) => {
      await using folder = await rulesFolder({ "export.yaml": EXPORT });
      await using program = start(folder.rules, { data: folder.data });
      const run = await failedRun(program);
      const page = await newPage(browser, { javaScriptEnabled });
      await page.goto(`${await program.url()}/runs/${run}`);
      assert.match(
        (await page.getByRole("heading", { level: 1 }).textContent())!,
        /failed .* at push: "cat \.\/there" ended/,
      );
      const failed = page.locator("#step");
      assert.match((await failed.textContent())!, /push/);
      const place = (await failed.boundingBox())!;
      assert.ok(place.y > 0 && place.y + place.height < 720, "the failed step is in view");
      await page.getByText("Attempts before the last one").waitFor();

      await folder.write("there", "");
      await tabTo(page, "Retry");
      await page.keyboard.press("Enter");
      await page.getByText(/Retried by an operator: it resumes with step "push"/).first().waitFor();
      await stateOf(program, run, "waiting");
      await page.reload();
      await page.getByRole("heading", { name: /waits for bank\.booked until .*, then null/ }).waitFor();
      await tabTo(page, "Skip");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Skip?" }).waitFor();
      await tabTo(page, "Skip");
      await page.keyboard.press("Enter");
      await page.getByText(/Wait "booked" skipped by an operator/).first().waitFor();
      await stateOf(program, run, "succeeded");
    },
  );
}

browserTest("the page of a run is readable by everybody, at every width, in light and dark", async (browser) => {
  await using folder = await rulesFolder({ "export.yaml": EXPORT });
  await using program = start(folder.rules, { data: folder.data });
  const run = await failedRun(program);
  const paths = [`/runs/${run}`, `/runs/${run}?step=list`, `/runs/${run}?step=lines%5B7%5D`, `/runs/${run}/value`];
  for (const width of [1280, 360, 320]) {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const path of paths) await look(browser, `${await program.url()}${path}`, width, colorScheme);
    }
  }
});

async function look(browser: Browser, url: string, width: number, colorScheme: "light" | "dark"): Promise<void> {
  const page = await newPage(browser, { viewport: { width, height: 740 }, colorScheme, isMobile: width < 500 });
  const wrong: string[] = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  await page.goto(url);
  const isWider = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
  assert.equal(isWider, false, `${url} scrolls sideways at ${width}`);
  assert.deepEqual(await accessibility(page), [], `${url} at ${width}, ${colorScheme}`);
  assert.deepEqual(wrong.filter((text) => !text.includes("404")), [], "the content security policy refuses nothing");
  await page.context().close();
}
