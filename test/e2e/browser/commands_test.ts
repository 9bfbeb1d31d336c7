/// <reference lib="dom" />
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { copyExample } from "../../examples/example.ts";
import { rulesFolder } from "../folder.ts";
import { start } from "../program.ts";
import { until } from "../until.ts";
import { browserTest, checkPage, newPage, PHONE } from "./browser.ts";

const FILES = {
  "commands/slow.yaml": `command: ./slow.sh
name: Slow
help: Says what it does, bit by bit
inputs:
  --steps: { type: integer, min: 1, max: 9, help: How many }
  --pause: { type: integer, requires: [--steps], help: Seconds between two }
  --quiet: { type: boolean, conflicts: [--steps] }
  files: { type: list, of: path, position: last, help: What it looks at }
end: "--"
`,
  "commands/slow.sh": `#!/bin/sh
echo "begins with $*"
while [ ! -e go ]; do sleep 0.1; done
echo "has gone on"
while [ ! -e end ]; do sleep 0.1; done
echo "the end"
`,
};

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "" : ", without scripts";
  browserTest(
    `a command is found, tried, corrected and started, and its output is seen while it runs${how}`,
    async (browser) => {
      await using folder = await rulesFolder(FILES);
      await using program = start(folder.rules, { data: folder.data });
      const page = await newPage(browser, { ...PHONE, javaScriptEnabled, bypassCSP: javaScriptEnabled });
      const check = () => javaScriptEnabled ? checkPage(page) : Promise.resolve();
      await page.goto(`${await program.url()}/commands?flag=pause`);
      await page.getByText("Save a file in the rules folder").waitFor();
      await check();
      await page.getByRole("link", { name: "Slow" }).click();
      await page.getByRole("region", { name: "What requires and excludes what" }).waitFor();
      await check();

      await page.getByLabel("--pause").fill("1");
      await page.getByLabel("--quiet").focus();
      await page.keyboard.press("Space");
      await page.getByRole("button", { name: "Try" }).click();
      await page.getByRole("link", { name: "--steps is missing: --pause requires --steps" }).waitFor();
      await check();
      await page.getByLabel("--steps").fill("2");
      await page.getByLabel("--quiet").uncheck();
      await page.getByLabel("files").fill("a b; rm -rf ~");
      await page.getByRole("button", { name: "Try" }).click();
      await page.locator(".argv", { hasText: "commands/slow.sh --steps 2 --pause 1 -- 'a b; rm -rf ~'" }).waitFor();
      await check();
      assert.deepEqual(await program.api("runs"), [], "nothing has been started");

      await page.getByRole("button", { name: "Start", exact: true }).click();
      await page.waitForURL(/\/runs\/[^/]+$/);
      const id = page.url().split("/").at(-1)!;
      /** Sees text on the page of the run; without scripts after a reload. */
      const see = async (text: string) => {
        if (!javaScriptEnabled) {
          const look = async () => await page.reload().then(() => page.getByText(text).count());
          await until(text, look, (count) => count > 0, 30_000);
        }
        await page.getByText(text).first().waitFor();
      };
      await see("begins with --steps 2 --pause 1 -- a b; rm -rf ~");
      await check();
      await writeFile(join(folder.data, "files", id, "go"), "");
      await see("has gone on");
      await writeFile(join(folder.data, "files", id, "end"), "");
      if (javaScriptEnabled) await page.getByRole("link", { name: "show it" }).click();
      await program.waitForMessage("commands/slow succeeded");
      await page.goto(`${await program.url()}/runs/${id}?step=command`);
      await page.getByText("the end").waitFor();
      const { run, steps: [{ output }] } = await program.api(`runs/${id}`);
      assert.equal(run.rule, "commands/slow");
      assert.deepEqual(output.argv, ["--steps", "2", "--pause", "1", "--", "a b; rm -rf ~"]);
      assert.deepEqual(output.files.map(({ name }: { name: string }) => name), ["end", "go"]);
      await page.getByRole("link", { name: "Start again with these inputs" }).click();
      assert.equal(await page.getByLabel("--steps").inputValue(), "2");
      await page.getByRole("heading", { name: "Its runs" }).waitFor();
      await check();
    },
  );
}

browserTest("example 19: the backup is started from its page, and is there", async (browser) => {
  await using folder = await copyExample("19-backup");
  await using program = start(folder.rules, { data: folder.data });
  const page = await newPage(browser, { ...PHONE, bypassCSP: true });
  await page.goto(`${await program.url()}/start/backup`);
  await page.getByLabel("Name").fill("now");
  await page.getByLabel("Folder").fill("../data");
  await page.getByLabel("Level").fill("9");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.locator("#field-folder-error", { hasText: "without" }).waitFor();
  await checkPage(page);
  await page.getByLabel("Folder").fill("data");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/\/runs\/[^/]+$/);
  await program.waitForMessage("backup succeeded");
  const archive = gunzipSync(await readFile(join(folder.rules, "backups/now.tar.gz")));
  assert.ok(archive.includes("data/notes.txt"));
  const [{ inputs }] = await program.api("runs");
  assert.deepEqual(inputs, { name: "now", folder: "data", compress: true, level: 9 });
});

browserTest("example 20: the page of the routine shows which steps follow which, in parallel", async (browser) => {
  await using folder = await copyExample("20-openssl");
  await using program = start(folder.rules, { data: folder.data });
  const page = await newPage(browser, { ...PHONE, bypassCSP: true });
  for (const path of ["rules/seal", "start/seal", "commands/commands/openssl"]) {
    await page.goto(`${await program.url()}/${path}`);
    await page.locator(".graph svg").waitFor();
    await checkPage(page);
  }
  await page.goto(`${await program.url()}/start/seal`);
  const boxes = await page.locator(".graph svg").evaluate((svg) =>
    Object.fromEntries([...svg.querySelectorAll("g")].map((node) => {
      const { left, top } = node.querySelector("rect")!.getBoundingClientRect();
      return [node.textContent!.trim(), { left, top }];
    }))
  );
  const { "first: digest": first, base64, "nonce": nonce, "seal: digest": seal } = boxes;
  assert.ok(first.left < base64.left && base64.left === nonce.left && nonce.left < seal.left, JSON.stringify(boxes));
  assert.notEqual(base64.top, nonce.top);
  await page.locator(".argv", { hasText: "openssl rand -hex 16" }).waitFor();
});
