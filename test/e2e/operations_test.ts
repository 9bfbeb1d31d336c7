import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { operatorName } from "../../bin/cli/client.ts";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const ME = operatorName() ?? "an operator";

/** Commands on the data folder of a test. */
const operator = (data: string) => (...words: string[]) => command("--data", data, ...words);

const ended = (program: Program, run: string) =>
  program.waitFor(
    `the end of run ${run}`,
    ({ properties }) => properties.run === run && properties.state !== undefined,
  );

const notesOf = async (program: Program, run: string): Promise<string[]> =>
  (await program.api(`runs/${run}`)).notes.map(({ text }: Answered) => text);

Deno.test("retry resumes after the last successful step, and only a failed run can be retried", async () => {
  await using peer = await WebServer.start((_, response) => response.writeHead(500).end("no"));
  await using folder = await rulesFolder({
    "pay.yaml": `
when: { webhook: /pay, auth: none }
then:
  - id: note
    run: [sh, -c, 'echo once >> "$OUT"']
    env: { OUT: "\${{ env.OUT }}" }
  - id: pay
    http: POST ${peer.url}/pay
    retry: 1
  - log: paid with \${{ steps.pay.body }}
`,
  });
  const out = join(folder.rules, "../out.txt");
  await using program = start(folder.rules, { ...folder, env: { OUT: out } });
  const { body: { runs: [run] } } = await program.post("/hooks/pay", {});
  assert.match((await ended(program, run)).message, /failed/);
  const ask = operator(folder.data);
  const shown = await ask("show", run);
  assert.match(shown.stdout, /\n {2}pay {2}http {2}failed .*\n(.*\n)*? {4}error .*500/);

  peer.answer((_, response) => response.writeHead(200).end("cash"));
  const retried = await ask("retry", run);
  assert.deepEqual([retried.code, retried.stdout], [0, `Run ${run} resumes with step "pay"\n`], retried.stderr);
  await program.waitForMessage("paid with cash");
  assert.equal(await readFile(out, "utf8"), "once\n", "earlier steps are not repeated");
  assert.deepEqual(await notesOf(program, run), [`Retried by ${ME}: it resumes with step "pay"`]);

  await program.waitFor("its success", ({ properties }) => properties.state === "succeeded");
  const again = await ask("retry", run);
  assert.deepEqual([again.code, again.stdout], [1, ""]);
  assert.equal(again.stderr, `Cannot retry run ${run}: it has succeeded, and only a failed run can be; replay it\n`);
  assert.equal((await ask("retry", "nobody")).stderr, 'There is no run "nobody"\n');
  const json = await ask("replay", run, "--json");
  const replayed = JSON.parse(json.stdout).run;
  await ended(program, replayed);
  assert.deepEqual(await notesOf(program, replayed), [`Replays run ${run}, asked for by ${ME}`]);
});

const WAITS = `
when: { webhook: /ask, auth: none }
then:
  - id: both
    parallel:
      pause: [{ id: nap, wait: 2d }]
      payment:
        - id: paid
          waitFor: payment.received
          match: { data.id: event.data.id }
          timeout: 5d
  - log: nap \${{ steps.nap }}, paid \${{ steps.paid }}
`;

Deno.test("runs --waiting says what each waits for; skip ends one wait, with and without a running program", async () => {
  await using folder = await rulesFolder({ "ask.yaml": WAITS });
  const ask = operator(folder.data);
  let run: string;
  {
    await using program = start(folder.rules, folder);
    run = (await program.post("/hooks/ask", { id: "A1" })).body.runs[0];
    await waiting(program, run);
    const { stdout } = await ask("runs", "--waiting");
    const lines = stdout.trim().split("\n");
    assert.match(lines[0], /^RUN +RULE +STEP +SINCE +UNTIL +WAITS FOR$/);
    assert.match(lines[1], new RegExp(`^${run} +ask +both/pause/nap +.* \\(in (2d|1d23h)\\) +a time$`));
    assert.match(lines[2], /both\/payment\/paid +.* \(in (5d|4d23h)\) +payment\.received with data\.id "A1"$/);
    const json: Answered[] = JSON.parse((await ask("runs", "--waiting", "--json")).stdout);
    assert.deepEqual(json[0].waits.map(({ step }: Answered) => step), ["both/pause/nap", "both/payment/paid"]);
    const unsaid = await ask("skip", run);
    assert.equal(unsaid.code, 1);
    assert.match(unsaid.stderr, /several wait; those that do: both\/pause\/nap, both\/payment\/paid\n$/);
    const skipped = await ask("skip", run, "both/pause/nap");
    assert.deepEqual([skipped.code, skipped.stdout], [0, `Run ${run} does not wait at "both/pause/nap" any more\n`]);
    await waiting(program, run);
    assert.match((await ask("show", run)).stdout, /\n {4}pause\/nap {2}wait {2}skipped .*by an operator\n/);
    await program.kill();
  }
  const skipped = await ask("skip", run);
  assert.equal(skipped.code, 0, skipped.stderr);
  await using program = start(folder.rules, folder);
  await program.waitForMessage("nap , paid ");
  assert.deepEqual(await notesOf(program, run), [
    `Wait "both/pause/nap" skipped by ${ME}`,
    `Wait "both/payment/paid" skipped by ${ME}`,
  ]);
});

Deno.test("move lets a waiting run continue with the newest version; a version with other steps fails with both lists", async () => {
  const rule = (first: string, text: string) => `
when: { webhook: /go, auth: none }
then:
  - { id: ${first}, log: begun }
  - { id: nap, wait: 2d }
  - log: ${text}
`;
  await using folder = await rulesFolder({ "go.yaml": rule("note", "by the old one") });
  const ask = operator(folder.data);
  await using program = start(folder.rules, folder);
  const ids: string[] = [];
  for (const id of ["1", "2", "3"]) ids.push((await program.post("/hooks/go", { id })).body.runs[0]);
  for (const id of ids) await waiting(program, id);
  const [stays, moves, breaks] = ids;
  const loads = () => program.lines.filter(({ properties }) => properties.what === "loaded").length;

  await folder.write("go.yaml", rule("note", "by the new one"));
  await program.waitFor("a reload", () => loads() === 2);
  const moved = await ask("move", moves);
  assert.deepEqual(
    [moved.code, moved.stdout],
    [0, `Run ${moves} continues with its rule as it is now\n`],
    moved.stderr,
  );
  assert.match((await ask("move", moves)).stderr, /it is on that version already/);
  await folder.write("go.yaml", rule("other", "by the third"));
  await program.waitFor("another reload", () => loads() === 3);
  await ask("move", breaks);
  for (const id of ids) assert.equal((await ask("skip", id)).code, 0);
  for (const id of ids) await ended(program, id);
  assert.ok(program.lines.some(({ message }) => message.includes("by the old one")));
  assert.ok(program.lines.some(({ message }) => message.includes("by the new one")));
  const { run, notes } = await program.api(`runs/${breaks}`);
  assert.equal(run.state, "failed");
  assert.match(run.error.message, /note/);
  assert.match(run.error.message, /other/);
  assert.match(notes[0].text, new RegExp(`^Moved from version \\S+ to \\S+ by ${ME}$`));
  assert.equal((await program.api(`runs/${stays}`)).run.state, "succeeded");
});

Deno.test("cancel, pause and resume record who asked", async () => {
  await using folder = await rulesFolder({ "ask.yaml": WAITS });
  const ask = operator(folder.data);
  await using program = start(folder.rules, folder);
  const { body: { runs: [run] } } = await program.post("/hooks/ask", { id: "A1" });
  await waiting(program, run);
  assert.equal((await ask("cancel", run)).stdout, `Run ${run} is cancelled\n`);
  assert.deepEqual(await notesOf(program, run), [`Cancelled by ${ME}`]);
  assert.equal((await ask("pause", "ask")).stdout, `Rule ask is paused: paused by ${ME}\n`);
  assert.equal((await ask("pause", "ask", "--reason", "loud")).stdout, `Rule ask is paused: loud (${ME})\n`);
  assert.deepEqual((await program.post("/hooks/ask", { id: "A2" })).body.runs, []);
  await ask("resume", "ask");
  await program.waitForMessage(`Rule ask resumed by ${ME}`);
});

/** Waits until a run is suspended. */
async function waiting(program: Program, run: string): Promise<void> {
  const stateOf = async () => (await program.api(`runs/${run}`)).run.state;
  const state = await until(`run ${run} to wait`, stateOf, (state) => !["queued", "running"].includes(state));
  assert.equal(state, "waiting");
}
