import assert from "node:assert/strict";
import { browserTest, checkPage, newPage, PHONE, signIn } from "./browser.ts";
import { PEOPLE } from "../forms.ts";
import { rulesFolder } from "../folder.ts";
import { start } from "../program.ts";

const RULES = {
  "ops/backup.yaml": `
name: Back up
inputs:
  folder: { type: path, under: /srv, help: What to back up }
  keep: { type: integer, min: 1, max: 90, default: 30 }
  hosts: { type: list, of: ip, required: false }
when:
  - { manual: true, to: finance }
then:
  - log: "backs up \${{ inputs.folder }}, keeps \${{ inputs.keep }}"
`,
  "ops/purge.yaml": "when: { manual: true }\nthen: [{ log: purged }]\n",
  "whenthen.yaml": PEOPLE,
};

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "" : ", without scripts";
  browserTest(`a person starts a backup, corrects a value, and lands on the run${how}`, async (browser) => {
    await using folder = await rulesFolder(RULES);
    await using program = start(folder.rules, { data: folder.data });
    const page = await newPage(browser, { ...PHONE, javaScriptEnabled, bypassCSP: javaScriptEnabled });
    const check = () => javaScriptEnabled ? checkPage(page) : Promise.resolve();
    await signIn(page, `${await program.url()}/forms/sign-in?to=/start`, "anna");
    await page.getByRole("heading", { name: "Start a rule" }).waitFor();
    assert.equal(await page.getByText("purge").count(), 0, "is for operators");
    await check();
    await page.getByRole("link", { name: "Back up" }).click();
    await check();
    await page.getByLabel("Folder").fill("/etc");
    await page.getByLabel("Hosts").fill("192.0.2.1\n2001:db8::1");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.locator("#field-folder-error", { hasText: 'Expected a path below /srv without .., got "/etc"' })
      .waitFor();
    await check();
    await page.getByLabel("Folder").fill("/srv/data");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.waitForURL(/\/runs\/[^/]+$/);
    await program.waitForMessage("backs up /srv/data, keeps 30");
    await page.getByText("started by you").waitFor();
    await check();
    const [run, ...others] = await program.api("runs");
    assert.deepEqual([page.url().split("/").at(-1), others], [run.id, []]);
    await page.getByRole("link", { name: "Start again with these inputs" }).click();
    assert.equal(await page.getByLabel("Folder").inputValue(), "/srv/data");
    assert.equal(await page.getByLabel("Hosts").inputValue(), "192.0.2.1\n2001:db8::1");
  });
}
