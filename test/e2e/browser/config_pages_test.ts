import assert from "node:assert/strict";
import { browserTest, checkPage, newPage, PHONE, signIn } from "./browser.ts";
import { PEOPLE } from "../forms.ts";
import { rulesFolder } from "../folder.ts";
import { start } from "../program.ts";

const RULES = {
  "ops/backup.yaml": `
name: Back up
when: { event: paid }
editors: finance
config:
  folder: { type: path, under: /srv, default: /srv/data, help: What to back up }
  keep: { type: integer, min: 1, max: 90, default: 30 }
  speed: { type: choice, choices: [slow, fast], default: slow }
  hosts: { type: list, of: ip, required: false }
then:
  - log: "backs up \${{ config.folder }}, keeps \${{ config.keep }}, \${{ config.speed }}"
`,
  "config.yaml": "ops/backup: { keep: 40 }\n",
  "whenthen.yaml": PEOPLE,
};

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "" : ", without scripts";
  browserTest(`a person sets config, corrects a value, and goes back to an earlier one${how}`, async (browser) => {
    await using folder = await rulesFolder(RULES);
    await using program = start(folder.rules, { data: folder.data });
    const page = await newPage(browser, { ...PHONE, javaScriptEnabled, bypassCSP: javaScriptEnabled });
    const check = () => javaScriptEnabled ? checkPage(page) : Promise.resolve();
    const save = () => page.getByRole("button", { name: "Save", exact: true }).click();
    await signIn(page, `${await program.url()}/forms/sign-in?to=/config`, "anna");
    await page.getByRole("heading", { name: "Config" }).waitFor();
    await check();
    await page.getByRole("link", { name: "Back up" }).click();
    await check();
    await page.getByLabel("Folder").fill("/etc");
    await page.getByLabel("Hosts").fill("192.0.2.1\n2001:db8::1");
    await save();
    await page.locator("#field-folder-error", { hasText: 'Expected a path below /srv without .., got "/etc"' })
      .waitFor();
    await check();
    await page.getByLabel("Folder").fill("/srv/new");
    await page.getByLabel("fast").check();
    await save();
    await page.getByText("Saved. What starts from now on uses it.").waitFor();
    await check();
    await program.post("/events", { type: "paid", data: {} });
    await program.waitForMessage("backs up /srv/new, keeps 40, fast");
    await page.getByLabel("Folder").fill("/srv/newer");
    await page.getByLabel("Folder").press("Enter");
    await page.getByText("Earlier values (1)").click();
    await check();
    await page.getByRole("button", { name: "Use this again" }).click();
    await page.getByText("Earlier values (2)").waitFor();
    assert.equal(await page.getByLabel("Folder").inputValue(), "/srv/new");
    await page.getByRole("button", { name: "Remove, so that slow applies" }).click();
    await page.getByText("Earlier values (1)").waitFor();
    await program.post("/events", { type: "paid", data: {} });
    await program.waitForMessage("backs up /srv/new, keeps 40, slow");
  });
}
