import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { browserTest, newPage, signIn } from "./browser.ts";
import { ask, PEOPLE, REFUND } from "../forms.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";

const RULES = {
  "shop/refund.yaml": REFUND,
  "shop/ship.yaml": `
name: Ship the order
when: { event: order.paid }
then:
  - id: ship
    run: [sh, -c, "echo no such address >&2; exit 3"]
    retry: { attempts: 1 }
`,
  "ops/pulse.yaml": "when: { every: 1h }\nthen: [{ log: pulse }]\n",
  "ops/broken.yaml": "when: { evry: 5s }\nthen: [{ log: x }]\n",
  "whenthen.yaml": PEOPLE.replace("groups: [finance], password", "groups: [finance, operators], password"),
};

const TOKEN = { WHENTHEN_TOKEN: "a-token-that-nobody-guesses" };

async function open(rules: Record<string, string> = RULES, env: Record<string, string> = {}) {
  const folder = await rulesFolder(rules);
  return { folder, program: start(folder.rules, { data: folder.data, env }) };
}

/** Signs in from a page that requires it. */
async function signInAt(page: Page, program: Program, name: string, path = "/forms/sign-in"): Promise<void> {
  await signIn(page, `${await program.url()}${path}`, name);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

browserTest("with a token set, an operator signs in at / and pauses a rule by the keyboard alone", async (browser) => {
  const { folder, program } = await open(RULES, TOKEN);
  await using _folder = folder;
  await using _program = program;
  const page = await newPage(browser);
  const errors: string[] = [];
  page.on("console", (message) => void (message.type() === "error" && errors.push(message.text())));
  page.on("pageerror", (error) => void errors.push(error.message));
  await signInAt(page, program, "anna", "/");
  await page.getByRole("link", { name: "ops/pulse" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "ops/pulse" }).waitFor();
  await page.getByText("Pause…").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.type("the disk is being replaced");
  await page.keyboard.press("Enter");
  await page.getByText("the disk is being replaced (anna)").waitFor();
  await page.getByRole("button", { name: "Resume" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("Pause…").waitFor();
  await program.waitForMessage("Rule ops/pulse paused by anna: the disk is being replaced (anna)");
  await program.waitForMessage("Rule ops/pulse resumed by anna");
  assert.deepEqual(errors, [], "the content security policy stops nothing that the pages need");
});

browserTest("without scripts everything works, too; who is no operator gets to the forms only", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const form = await ask(program, "A1");
  const page = await newPage(browser, { javaScriptEnabled: false });
  await signInAt(page, program, "anna", "/forms/sign-in?to=/rules/shop/ship");
  await page.getByRole("heading", { level: 1, name: "Ship the order" }).waitFor();
  await page.getByText("Pause…").click();
  await page.getByLabel("Reason").fill("no lorry");
  await page.getByRole("button", { name: "Pause the rule" }).click();
  await page.getByText("no lorry (anna)").waitFor();
  // A form is answered with three clicks from the first page.
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByRole("link", { name: "Refund 250 EUR?" }).click();
  await page.getByLabel("approve").check();
  await page.getByLabel("How much?").fill("5");
  await page.getByRole("button", { name: "Send the answer" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await program.waitForMessage("A1: approve by anna");
  assert.equal((await program.api(`forms/${form}`)).answer.by, "anna");

  const carl = await newPage(browser, { javaScriptEnabled: false });
  await signInAt(carl, program, "carl");
  await carl.getByText("Nothing waits for you").waitFor();
  assert.equal(await carl.getByRole("link", { name: "Rules" }).count(), 0);
  assert.equal((await carl.goto(`${await program.url()}/rules/shop/ship`))!.status(), 403);
});

browserTest("times are in the viewer's zone from the first page on", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const page = await newPage(browser, { timezoneId: "Asia/Tokyo" });
  await signInAt(page, program, "anna");
  await page.locator('html[data-zone="Asia/Tokyo"]').waitFor({ state: "attached" });
});
