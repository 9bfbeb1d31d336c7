import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { browserTest, newPage, PHONE } from "./browser.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { until } from "../until.ts";

const STEPS = Array.from({ length: 15 }, (_, at) => `  - { id: step${at}, log: ${at} }\n`).join("");
const RULES = {
  "ops/backup.yaml": "when: { event: backup }\nthen: [{ id: pack, run: [cat, ./there], retry: { attempts: 1 } }]\n",
  "ops/steps.yaml": `when: { event: steps }\nthen:\n${STEPS}  - { id: go, waitFor: go.on }\n`,
  "ops/pulse.yaml": "when: { event: pulse }\nthen: [{ log: pulse }]\n",
  ...Object.fromEntries(
    Array.from({ length: 16 }, (_, at) => [`shop/r${at}.yaml`, "when: { event: else }\nthen: [{ log: else }]\n"]),
  ),
};

async function emit(program: Program, type: string, subject: string, state: string): Promise<string> {
  const { body: { runs: [run] } } = await program.post("/api/emit", {
    type,
    subject,
    data: { text: "some ".repeat(40) },
  });
  await until(`a run that is ${state}`, async () => (await program.api(`runs/${run}`)).run.state, (is) => is === state);
  return run;
}

/** The rows of a page's table that are seen as a whole without scrolling. */
async function rowsInSight(page: Page): Promise<number> {
  return await page.evaluate(
    `[...document.querySelectorAll("main tbody tr")].map((row) => row.getBoundingClientRect())
      .filter(({ bottom, height }) => height > 0 && bottom <= innerHeight).length`,
  );
}

browserTest("in sight: 20 rows, 14 rules, 16 steps; on a phone 7 rows, 5 rules, the failed step", async (browser) => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  for (let at = 0; at < 12; at++) {
    await emit(program, "pulse", `p${at}`, "succeeded");
    await emit(program, "backup", `b${at}`, "failed");
  }
  const steps = await emit(program, "steps", "S-1", "waiting");
  const failed = await emit(program, "backup", "B-1", "failed");
  const url = await program.url();
  const check = async (page: Page, least: Record<string, number>) => {
    for (const [path, rows] of Object.entries(least)) {
      await page.goto(`${url}${path}`);
      const seen = await rowsInSight(page);
      assert.ok(seen >= rows, `${path} shows ${seen} rows, not ${rows}`);
    }
    await page.context().close();
  };
  const desk = await newPage(browser, { viewport: { width: 1280, height: 800 } });
  await check(desk, { "/": 14, "/rules": 14, "/events": 20, "/runs": 20, [`/runs/${steps}`]: 16 });
  const phone = await newPage(browser, { ...PHONE, viewport: { width: 360, height: 640 } });
  await check(phone, { "/": 5, "/rules": 5, "/events": 7, "/runs": 7, [`/runs/${failed}`]: 1 });
});

browserTest("a failed run is retried with two clicks from the first page", async (browser) => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  const run = await emit(program, "backup", "B-1", "failed");
  await folder.write("ops/there", "");
  const page = await newPage(browser);
  await page.goto(await program.url());
  await page.getByRole("row", { name: /failing ops\/backup/ }).getByRole("link", { name: /\d\d:\d\d/ }).click();
  await page.getByRole("button", { name: "Retry" }).click();
  await page.getByText(/Retried by an operator/).first().waitFor();
  await until("its end", async () => (await program.api(`runs/${run}`)).run.state, (state) => state === "succeeded");
  await page.context().close();
});
