import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { browserTest, faultsOf, newPage, signIn } from "./browser.ts";
import { ask, PEOPLE, REFUND } from "../forms.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { until } from "../until.ts";

const PEOPLE_FILE = PEOPLE.replace("groups: [finance], password", "groups: [finance, operators], password");

const RULES = {
  "shop/refund.yaml": REFUND,
  "shop/ship.yaml": `
name: Ship the order
config: { days: 3 }
when: { event: order.paid }
then:
  - id: list
    run: [sh, -c, "for i in $(seq 700); do echo line $i; done"]
  - id: both
    parallel:
      bank: [{ id: tell, log: told the bank }]
      customer: [{ id: tell2, log: told the customer }]
  - id: parcels
    each: "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]"
    onError: continue
    then: [{ id: label, run: [sh, -c, "test $0 != 7 || { echo no paper >&2; exit 1; }", "\${{ item }}"] }]
  - id: ship
    run: [sh, -c, "echo no such address >&2; exit 3"]
    retry: { attempts: 2, delay: 10ms }
tests:
  - name: nothing
    send: []
    expect: []
`,
  "shop/wait.yaml": "when: { event: slow }\nthen: [{ id: go, waitFor: go.on, timeout: 2d }]\n",
  "shop/large.yaml": "when: { event: order.* }\nif: event.data.amount > 100\nthen: [{ log: large }]\n",
  "shop/tasks.yaml": "when: { webhook: /tasks, auth: asana }\nthen: [{ log: a task }]\n",
  "ops/pulse.yaml": "when: { event: pulse }\nthen: [{ log: pulse }]\n",
  "ops/backup.yaml": `
inputs:
  folder: { type: path, under: /srv, help: What to back up }
  keep: { type: integer, min: 1, max: 90, default: 30 }
when: { manual: true }
then: [{ log: backs up }]
`,
  "tools/sleep.yaml":
    "command: sleep\nname: Sleep\ninputs: { seconds: { type: integer, position: first, help: How long } }\n",
  "tools/many.yaml": `command: many\ninputs:\n${
    Array.from(
      { length: 300 },
      (_, at) => `  --flag-${at}: { type: text, help: Sets ${at}, value: optional, join: "=" }`,
    )
      .join("\n")
  }\n`,
  "ops/broken.yaml": "when: { evry: 5s }\nthen: [{ log: x }]\n",
  "whenthen.yaml": `${PEOPLE_FILE}
connections:
  crm: { bearer: CRM_TOKEN, hosts: [crm.example.org] }
  tasks: { oauth: { authorize: "https://tasks.example.org/a", token: "https://tasks.example.org/t" }, client: TASKS_ID, hosts: [tasks.example.org] }
`,
};

/** Pages of a program in which much has happened. */
async function fill(program: Program): Promise<string[]> {
  const emit = (type: string, subject: string, data: object = {}) =>
    program.post("/api/emit", { type, subject, data }).then(({ body }) => body.runs as string[]);
  const answered = await ask(program, "A1");
  const form = await ask(program, "A2", "refund.requested", { amount: 420 });
  await program.post(`/api/forms/${answered}`, { values: { decision: "approve", amount: 5 }, as: "anna" });
  for (let at = 0; at < 4; at++) await emit("pulse", `p${at}`);
  await emit("order.paid", `long-${"subject".repeat(30)}`, { amount: 3, text: "x".repeat(20_000) });
  const [failed] = await emit("order.paid", "A-1", { amount: 200 });
  const [waiting] = await emit("slow", "S-1");
  await program.fetch("/hooks/none", { method: "POST" });
  await program.post("/api/hooks/open", { rule: "shop/tasks" });
  await program.post("/hooks/tasks", {}, { "x-hook-secret": "a-secret-of-the-provider" });
  const state = async (run: string) => (await program.api(`runs/${run}`)).run.state;
  await until(
    "the runs",
    async () => [await state(failed), await state(waiting)].join(),
    (all) => all === "failed,waiting",
  );
  const events: { key: string; event: { subject?: string } }[] = await program.api("events");
  const keys = events.filter(({ event }) => /^(long|A-1)/.test(event.subject ?? "")).map(({ key }) => key);
  return [
    ...["/", "/rules", "/rules/shop/ship", "/rules/shop/ship?see=tests", "/rules/shop/ship?see=config"],
    ...["/rules/ops/broken", "/events", "/events?verdict=refused", ...keys.map((key) => `/events/${key}`)],
    ...["/runs", `/runs/${waiting}`, `/runs/${waiting}/cancel`, "/runs/bulk?do=cancel"],
    ...["", "?step=list", "?step=parcels%5B7%5D"].map((step) => `/runs/${failed}${step}`),
    ...[
      "/go?q=p1",
      "/help",
      "/forms",
      `/forms/${form}`,
      `/forms/${answered}/thanks`,
      "/start",
      "/start/ops/backup",
      "/config",
    ],
    ...[
      "/commands",
      "/commands/tools/sleep",
      "/commands/tools/many",
      "/connections",
      "/connections/tasks/disconnect",
      "/connections/handshakes/remove?what=shop%2Ftasks",
      "/connections/none/disconnect",
      "/commands/none",
      "/fleets",
      "/fleets/none",
    ],
    ...EMPTY.slice(0, 4).map((path) => `${path}?subject=nobody&text=nobody`),
    // In error.
    ...["/events?from=nonsense", "/runs?from=nonsense", "/runs/none", "/events/7", "/rules/none", "/forms/none"],
    ...[
      "/runs/bulk?do=retry&subject=nobody",
      "/runs/bulk/none",
      "/start/none",
      "/config/none",
      "/go?q=nothing",
      "/nowhere",
    ],
    ...[`/runs/${failed}/skip`, `/runs/${failed}/value?of=nothing`, `/forms/${answered}`],
  ];
}

/** Pages of a program without rules. */
const EMPTY = [
  "/events",
  "/runs",
  "/rules",
  "/start",
  "/config",
  "/",
  "/forms",
  "/go",
  "/commands",
  "/connections",
  "/fleets",
];

async function signInAt(page: Page, url: string, name: string): Promise<void> {
  await signIn(page, `${url}/forms/sign-in`, name);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

browserTest(
  "every page, full, empty or in error, in light and dark, at 1280, 360 and 320 pixels: no fault, nothing sideways",
  async (browser) => {
    await using folder = await rulesFolder(RULES);
    await using none = await rulesFolder({ "whenthen.yaml": PEOPLE_FILE });
    const env = { WHENTHEN_KEY: Buffer.alloc(32, 7).toString("base64") };
    await using program = start(folder.rules, { data: folder.data, env });
    await using empty = start(none.rules, { data: none.data });
    const page = await newPage(browser);
    const refused: string[] = [];
    page.on("console", (message) => void (/Content.Security/i.test(message.text()) && refused.push(message.text())));
    const faults: string[] = [];
    const visit = async (of: Program, paths: string[]) => {
      for (const path of paths) {
        const answer = await page.goto(`${await of.url()}${path}`);
        assert.ok(answer!.status() < 500, path);
        faults.push(...await faultsOf(page, `${path} (${answer!.status()})`));
      }
    };
    await page.goto(`${await program.url()}/forms/sign-in`);
    faults.push(...await faultsOf(page, "the sign-in"));
    await signInAt(page, await program.url(), "anna");
    await visit(program, await fill(program));
    // The result of a bulk action, and the answer of a form with mistakes.
    await page.goto(`${await program.url()}/runs/bulk?do=retry`);
    await page.getByLabel("Reason").fill("a test");
    await page.getByRole("button", { name: /Retry/ }).click();
    await page.getByRole("heading", { name: /retried/ }).waitFor();
    faults.push(...await faultsOf(page, "the result of a bulk action"));
    await page.goto(`${await program.url()}/start/ops/backup`);
    await page.getByLabel("Folder").fill("/etc");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.locator("#field-folder-error").waitFor();
    faults.push(...await faultsOf(page, "a start with a mistake"));
    await page.context().clearCookies();
    await signInAt(page, await program.url(), "carl");
    await visit(program, ["/runs", "/forms", "/start"]);
    await page.context().clearCookies();
    await signInAt(page, await empty.url(), "anna");
    await visit(empty, EMPTY);
    assert.deepEqual(faults, []);
    assert.deepEqual(refused, [], "the content security policy refuses nothing that the pages need");
    await page.context().close();
  },
);
