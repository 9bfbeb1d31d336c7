import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { accessibility, browserTest, newPage, PHONE, signIn } from "./browser.ts";
import { ask, PEOPLE, REFUND } from "../forms.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { MailServer } from "../smtp_server.ts";

/** Expires after a moment. */
const QUICK = `
when: { event: quick }
then:
  - id: quick
    form: Quickly?
    to: finance
    fields: { decision: { type: choice, choices: [yes, no] } }
    timeout: 1s
    onTimeout: [{ log: "Nobody was quick" }]
`;

async function open(settings = "") {
  const folder = await rulesFolder({ "refund.yaml": REFUND, "quick.yaml": QUICK, "whenthen.yaml": PEOPLE + settings });
  return { folder, program: start(folder.rules, { data: folder.data }) };
}

async function signInTo(page: Page, program: Program, name: string): Promise<void> {
  await signIn(page, `${await program.url()}/forms`, name);
  await page.getByText(`Signed in as`).waitFor();
}

browserTest("a person finds what waits, is told what does not fit, answers, and is thanked", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  await ask(program, "A1");
  await ask(program, "A2", "refund.requested", { amount: 99 });
  const page = await newPage(browser);
  await signInTo(page, program, "anna@example.org");
  await page.getByRole("link", { name: "Refund 99 EUR?" }).waitFor();
  assert.deepEqual(await page.getByRole("listitem").getByRole("link").allTextContents(), [
    "Refund 250 EUR?",
    "Refund 99 EUR?",
  ]);
  assert.deepEqual(await accessibility(page), []);
  await page.getByRole("link", { name: "Refund 250 EUR?" }).click();
  await page.getByRole("heading", { level: 1, name: "Refund 250 EUR?" }).waitFor();
  assert.equal(await page.title(), "Refund 250 EUR? · whenthen");
  assert.deepEqual(await accessibility(page), []);

  await page.getByRole("group", { name: "Decision" }).or(page.getByRole("radiogroup", { name: "Decision" })).getByLabel(
    "approve",
  ).check();
  await page.getByLabel("How much?").fill("12.5");
  await page.getByLabel("Pause").fill("a while");
  await page.getByLabel("Reason").fill('Two\nlines & "quotes"');
  await page.getByRole("button", { name: "Send the answer" }).click();
  const summary = page.getByRole("alert");
  // It gets the focus.
  await summary.and(page.locator(":focus")).waitFor();
  assert.equal(await page.title(), "Error: Refund 250 EUR? · whenthen");
  assert.deepEqual(await accessibility(page), []);
  assert.equal(await page.getByLabel("Reason").inputValue(), 'Two\nlines & "quotes"');
  assert.equal(await page.getByLabel("approve").isChecked(), true);
  await summary.getByRole("link", { name: /Pause/ }).click();
  const pause = page.getByLabel("Pause");
  // The link leads to the field.
  await pause.and(page.locator(":focus")).waitFor();
  const described = (await pause.getAttribute("aria-describedby"))!.split(" ").at(-1)!;
  assert.match((await page.locator(`#${described}`).textContent())!, /Expected a duration/);

  await pause.fill("2h");
  await page.getByRole("button", { name: "Send the answer" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await program.waitForMessage("A1: approve by anna");
  await page.reload();
  assert.equal(
    await page.getByRole("heading", { level: 1 }).textContent(),
    "Thank you",
    "a reload sends nothing again",
  );
  await page.getByRole("link", { name: "What else waits for you" }).click();
  await page.getByRole("link", { name: "Refund 99 EUR?" }).waitFor();
  assert.deepEqual(await page.getByRole("listitem").getByRole("link").allTextContents(), ["Refund 99 EUR?"]);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

browserTest("two tabs: the second answer is refused because the first one counts", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const form = await ask(program, "A1");
  const first = await newPage(browser);
  await signInTo(first, program, "anna");
  const second = await first.context().newPage();
  for (const page of [first, second]) {
    await page.goto(`${await program.url()}/forms/${form}`);
    await page.getByLabel(page === first ? "approve" : "reject").check();
    await page.getByLabel("How much?").fill("5");
  }
  await first.getByRole("button", { name: "Send the answer" }).click();
  await first.getByRole("heading", { name: "Thank you" }).waitFor();
  const [answer] = await Promise.all([
    second.waitForResponse((response) => response.request().method() === "POST"),
    second.getByRole("button", { name: "Send the answer" }).click(),
  ]);
  assert.equal(answer.status(), 409);
  await second.getByText("You answered this form").waitFor();
  await program.waitForMessage("A1: approve by anna");
});

browserTest("another person is refused, and an expired form says so", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const form = await ask(program, "A1");
  const expired = await ask(program, "Q1", "quick");
  const carl = await newPage(browser);
  await signInTo(carl, program, "carl");
  await carl.getByText("Nothing waits for you").waitFor();
  const refused = await carl.goto(`${await program.url()}/forms/${form}`);
  assert.equal(refused!.status(), 403);
  assert.doesNotMatch(await carl.content(), /Refund/);
  assert.deepEqual(await accessibility(carl), []);
  // Nor by sending the page's request directly.
  const posted = await carl.request.post(`${await program.url()}/forms/${form}`, {
    form: { decision: "approve", amount: "5" },
  });
  assert.equal(posted.status(), 403);

  await program.waitForMessage("Nobody was quick");
  const anna = await newPage(browser);
  await signInTo(anna, program, "anna");
  const late = await anna.goto(`${await program.url()}/forms/${expired}`);
  assert.equal(late!.status(), 409);
  await anna.getByText("The time to answer this form is over").waitFor();
  assert.deepEqual(await accessibility(anna), []);
});

browserTest("the link in a mail opens its form on a phone, without account and without scripts", async (browser) => {
  await using server = await MailServer.start();
  const { folder, program } = await open(`smtp: { host: 127.0.0.1, port: ${server.port}, from: rules@example.org }\n`);
  await using _folder = folder;
  await using _program = program;
  await ask(program, "L1");
  const [mail] = await server.waitFor(1, ({ to }) => to.includes("bob@example.org"));
  const [link] = /http:\S+/.exec(mail.body)!;
  const page = await newPage(browser, { ...PHONE, javaScriptEnabled: false });
  await page.goto(link);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "Refund 250 EUR?");
  const wide = await newPage(browser, PHONE);
  await wide.goto(link);
  assert.equal(await wide.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, "nothing is cut off");
  assert.deepEqual(await accessibility(wide), []);
  for (const dark of ["light", "dark"] as const) {
    const themed = await newPage(browser, { ...PHONE, colorScheme: dark });
    await themed.goto(link);
    assert.deepEqual(await accessibility(themed), [], dark);
  }
  const small = await wide.evaluate(
    `[...document.querySelectorAll("button, input:not([type=hidden]):not([type=radio]), select, textarea, .choice")].filter((part) => part.getBoundingClientRect().height < 44).map((part) => part.outerHTML)`,
  );
  assert.deepEqual(small, [], "touch targets are large enough");

  await page.getByLabel("reject").check();
  await page.getByLabel("How much?").fill("5");
  await page.getByLabel("Pause").fill("soon");
  await page.getByRole("button", { name: "Send the answer" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Pause").fill("");
  await page.getByRole("button", { name: "Send the answer" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await program.waitForMessage("L1: reject by bob");
  assert.equal((await page.goto(link))!.status(), 409);
  assert.equal((await page.goto(link.replace("for=bob", "for=anna")))!.status(), 403);
});

browserTest("a page of another site cannot answer with a person's session", async (browser) => {
  const { folder, program } = await open();
  await using _folder = folder;
  await using _program = program;
  const form = await ask(program, "A1");
  const page = await newPage(browser);
  await signInTo(page, program, "anna");
  const url = await program.url();
  // Under another host name, this machine is another site.
  const elsewhere = url.replace("127.0.0.1", "localhost");
  await page.route(`${elsewhere}/**`, (route) =>
    route.fulfill({
      contentType: "text/html",
      body:
        `<form method="post" action="${url}/forms/${form}"><input name="decision" value="approve"><input name="amount" value="5"><button>Go</button></form>`,
    }));
  await page.goto(`${elsewhere}/trap`);
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "POST"),
    page.getByRole("button", { name: "Go" }).click(),
  ]);
  assert.ok([303, 403].includes(answer.status()), String(answer.status()));
  assert.equal((await program.api(`forms/${form}`)).state, "open");
});
