import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { Run } from "../../../runtime/model/run.ts";
import { browserTest, newPage } from "./browser.ts";
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
