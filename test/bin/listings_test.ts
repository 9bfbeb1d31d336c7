import assert from "node:assert/strict";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FollowedRuns } from "../../bin/cli/commands/follow.ts";
import { runCommand as run } from "./run_command.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Run } from "../../runtime/model/run.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { onEvent, openBench, rule } from "../web/harness.ts";

const SECRET = "a-long-secret-value";
const FILES = {
  "orders.yaml": `when: { event: order.created }
config: { limit: 5 }
then:
  - log: "\${{ event.data.id }} \${{ secrets.SHOP_TOKEN }}"
`,
  "approve.yaml": `when: { event: approval.asked }
then:
  - form: May this be paid?
    to: anna
    fields: { ok: { type: boolean } }
`,
  "quiet.yaml": `when: { cron: "0 9 * * *" }\nthen:\n  - log: quiet\n`,
  "whenthen.yaml": "people: { anna: { name: Anna } }\n",
  ".env": `SHOP_TOKEN=${SECRET}\n`,
};

/** A folder on which `once` has run twice, with two events in between. */
async function used() {
  const folder = await rulesFolder(FILES);
  // Commands that do not know the folder must not load this one.
  const foreign = join(folder.rules, "..", "elsewhere", "rules");
  await mkdir(foreign, { recursive: true });
  await writeFile(join(foreign, "foreign.yaml"), "when: { event: order.created }\nthen:\n  - log: foreign\n");
  await writeFile(join(foreign, ".env"), FILES[".env"], { mode: 0o600 });
  const cli = (...words: string[]) => run("--data", folder.data, ...words);
  assert.equal((await cli("once", folder.rules)).code, 0);
  for (const id of ["A1", "A2"]) {
    const data = JSON.stringify({ id, token: SECRET });
    const emitted = await cli("emit", "order.created", "--data", data, "--id", id, "--subject", id);
    assert.match(emitted.out, /orders started run \w{20}/, emitted.complaints);
  }
  assert.equal((await cli("emit", "approval.asked")).code, 0);
  assert.equal((await cli("once", folder.rules)).code, 0);
  const list: Run[] = JSON.parse((await cli("runs", "--rule", "orders", "--json")).out);
  return { folder, foreign, cli, ids: list.map(({ id }) => id) };
}

/** A command line, its exit code, and what it prints or complains of. */
type Use = [words: string[], code: number, says: RegExp];

async function check(cli: typeof run, uses: Use[]): Promise<void> {
  for (const [words, code, says] of uses) {
    const { out, complaints, ...ended } = await cli(...words);
    assert.equal(ended.code, code, `${words.join(" ")}: ${out}${complaints}`);
    assert.match(code === 0 ? out : complaints, says, words.join(" "));
  }
}

Deno.test("after once, commands use its folder: each with right and wrong use", async () => {
  const { folder, foreign, cli, ids: [last, first] } = await used();
  await using _folder = folder;
  // The time, and a count within the millisecond: no other run begins so.
  const beginning = last.slice(0, 12);
  const several = /^Several runs have an id that begins with "1":\n( {2}\w{20} {2}\S+ {2}\S+\n)+$/;
  const other = new RegExp(`it has the state of the rules in ${folder.rules}; .+ start with: whenthen run ${foreign} `);
  await check(cli, [
    [["rules"], 0, /^orders +on +2 +event order\.created$/m],
    [["rules", "--folder", folder.rules], 0, /^orders /m],
    [["rules", "--folder", foreign], 64, other],
    [["rules", "--folder", "/nowhere"], 64, /Cannot find the rules folder "\/nowhere"/],
    [["runs"], 0, new RegExp(`^${last} +orders +succeeded .*A2$`, "m")],
    [["runs", "--rule", "orders", "--subject", "A1"], 0, new RegExp(`^RUN .+\n${first} .+\n$`)],
    [["runs", "--rule", "quiet"], 0, /^No runs yet$/m],
    [["runs", "--rule", "ordres"], 1, /^There is no rule "ordres"; did you mean "orders"\?$/m],
    [["runs", "--since", "1h"], 0, /orders/],
    [["runs", "--since", "2999-01-01"], 0, /^No runs yet$/m],
    [["runs", "--since", "soon"], 64, /Cannot read the time "soon": write one such as 2h \(ago\)/],
    [["runs", "--follow", "--waiting"], 64, /'--follow' cannot be used with option '--waiting'/],
    [["runs", "--follow", "--rule", "ordres"], 1, /did you mean "orders"/],
    [["events", "--since", "1h"], 0, /^order\.created {2}A2 {2}id A2/m],
    [["events", "--since", "2999-01-01T00:00Z"], 0, /^No events yet$/m],
    [["events", "--since", "31.12."], 64, /Cannot read the time "31\.12\."/],
    [["events", "--rule", "ordres"], 1, /^There is no rule "ordres"; did you mean "orders"\?$/m],
    [["show", last], 0, new RegExp(`^run ${last} {2}succeeded`)],
    [["show", beginning], 0, new RegExp(`^run ${last} {2}succeeded`)],
    [["show", "1"], 1, several],
    [["show", "zz"], 1, /^There is no run "zz"$/m],
    [["show", "--last"], 0, /^run \w{20} {2}waiting\nrule +approve,/],
    [["show", "--last", "--rule", "orders"], 0, new RegExp(`^run ${last} `)],
    [["show", "--last", "--rule", "quiet"], 1, /^There are no runs of the rule "quiet" yet$/m],
    [["show", "--last", "--rule", "ordres"], 1, /^There is no rule "ordres"/m],
    [["show"], 64, /name one, or use --last for the newest/],
    [["show", last, "--last"], 64, /name one, or use --last for the newest/],
    [["show", last, "--rule", "orders"], 64, /add --last for its newest/],
    [["replay", beginning], 0, new RegExp(`^Run \\w{20} replays run ${last}$`, "m")],
    [["replay", "1"], 1, several],
    [["retry", beginning], 1, /it has succeeded/],
    [["retry", "1"], 1, several],
    [["skip", beginning], 1, new RegExp(`run ${last}|it has succeeded`)],
    [["skip", "1"], 1, several],
    [["move", beginning], 1, /it has succeeded/],
    [["move", "1"], 1, several],
    [["cancel", beginning], 0, new RegExp(`^Run ${last} has already ended: it has succeeded$`, "m")],
    [["cancel", "1"], 1, several],
    [["test", folder.rules, "--from", "1"], 1, several],
    [["test", folder.rules, "--from", beginning], 0, /orders\.yaml/],
    [["forms"], 0, /May this be paid\?/],
    [["forms", "--for", "anna"], 0, /May this be paid\?/],
    [["forms", "--for", "bob"], 1, /no person and no group "bob"/],
    [["config", "orders"], 0, /^limit +5 +default$/m],
    [["config", "ordres"], 1, /ordres/],
    [["start", "ordres"], 1, /Cannot start the rule "ordres"/],
    [["pause", "orders"], 0, /^Rule orders is paused/],
    [["resume", "orders"], 0, /^Rule orders is resumed/],
    [["pause", "ordres"], 1, /There is no rule "ordres"/],
    [["once", foreign], 64, other],
    [["run", foreign, "--port", "0"], 64, other],
    [["once", folder.rules, "--folder", foreign], 64, /Cannot use two rules folders, /],
    [["once", foreign, "--moved"], 0, /The pass succeeded/],
    [["rules"], 0, /^foreign /m],
    [["once", folder.rules], 64, /it has the state of the rules in .+elsewhere/],
  ]);
});

Deno.test("a folder that is gone or was never recorded is named with --folder; a renamed one is the same", async () => {
  const { folder, cli } = await used();
  await using _folder = folder;
  const moved = `${folder.rules}-moved`;
  await symlink(folder.rules, `${folder.rules}-link`);
  await check(cli, [[["runs", "--folder", `${folder.rules}-link`], 0, /orders/]]);
  await rm(`${folder.rules}-link`);
  await rename(folder.rules, moved);
  await check(cli, [
    [["runs"], 64, /Cannot find the rules folder .+-link, which .+ name where it is now with --folder/],
    [["runs", "--folder", moved], 0, /orders/],
    [["runs"], 0, /orders/],
    [["once", moved], 0, /The pass succeeded/],
  ]);
  await rm(join(folder.data, "address"));
  await check(cli, [
    [["runs"], 64, /Cannot tell which rules the data folder .+ belongs to, .+: name their folder with --folder/],
    [["emit", "x", "--folder", moved], 0, /no rule listens/],
    [["runs"], 0, /orders/],
  ]);
  assert.deepEqual(JSON.parse(await readFile(join(folder.data, "address"), "utf8")), { folder: moved });
});

Deno.test("listings that load no rules mask the secrets that these used before", async () => {
  const { folder, cli, ids: [last] } = await used();
  await using _folder = folder;
  for (const words of [["events", "--json"], ["show", last], ["runs", "--json"]]) {
    const { out } = await cli(...words);
    assert.ok(!out.includes(SECRET) && out.includes("***"), out);
  }
});

/** All values of plain data with the keys that lead to them. */
function* valuesIn(value: Json, path: string[] = []): Generator<[path: string[], value: Json]> {
  if (typeof value !== "object" || value === null) return void (yield [path, value]);
  for (const [key, part] of Object.entries(value)) yield* valuesIn(part, [...path, key]);
}

Deno.test("--json has times as milliseconds since the epoch; only the time of an event is text, as CloudEvents have it", async () => {
  const { folder, cli, ids: [last] } = await used();
  await using _folder = folder;
  const now = Date.now();
  const outputs: [words: string[], times: string[]][] = [
    [["runs"], ["createdAt", "startedAt", "endedAt"]],
    [["runs", "--waiting"], ["since"]],
    [["events"], ["receivedAt"]],
    [["show", last], ["createdAt", "startedAt", "endedAt"]],
    [["forms"], ["createdAt"]],
    [["config", "orders", "limit=6"], ["at"]],
    [["check", folder.rules], ["next"]],
    [["once", folder.rules], []],
    [["rules"], []],
  ];
  for (const [words, times] of outputs) {
    const { out } = await cli(...words, "--json");
    const values = [...valuesIn(JSON.parse(out))];
    const named = (name: string) => values.filter(([path]) => path.findLast((key) => !/^\d+$/.test(key)) === name);
    for (const name of times) {
      assert.notEqual(named(name).length, 0, `${name} in ${words}: ${out}`);
      for (const [, time] of named(name)) {
        assert.ok(typeof time === "number" && Math.abs(time - now) < 7 * 86_400_000, `${name} in ${words}: ${time}`);
      }
    }
    for (const [path, value] of values) {
      if (typeof value !== "string" || !/^\d{4}-\d\d-\d\d/.test(value)) continue;
      assert.equal(path.at(-1), "time", `${path.join(".")} of ${words}: ${value}`);
    }
  }
});

Deno.test("followed runs are told when they begin and whenever they change, also old ones, and by their filter", async () => {
  await using bench = await openBench([rule("a", [onEvent("a")]), rule("b", [onEvent("b")])]);
  const client = {
    async get<T>(path: string, query: Record<string, string | undefined> = {}): Promise<T> {
      const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
      const { status, body } = await bench.ask("GET", `${path}?${new URLSearchParams(given)}`);
      assert.equal(status, 200, JSON.stringify(body));
      return body;
    },
  };
  const emit = async (type: string): Promise<string> => (await bench.post("/events", { type })).body.runs[0];
  const cancel = (run: string) => bench.post(`/api/runs/${run}/cancel`, {});
  const old: string[] = [];
  for (let at = 0; at < 120; at++) old.push(await emit("a"));
  const everything = { rule: undefined, subject: undefined, state: undefined, from: undefined };
  const all = new FollowedRuns({ ...everything, limit: "2" });
  const cancelled = new FollowedRuns({ ...everything, rule: "a", state: "cancelled", limit: "20" });
  const told = async (runs: FollowedRuns) => (await runs.look(client)).map(({ id, state }) => `${id} ${state}`);
  assert.deepEqual(await told(all), old.slice(-2).map((id) => `${id} queued`));
  assert.deepEqual(await told(cancelled), []);
  const other = await emit("b");
  await cancel(old[0]);
  assert.deepEqual(await told(all), [`${old[0]} cancelled`, `${other} queued`]);
  assert.deepEqual(await told(all), []);
  await cancel(other);
  assert.deepEqual(await told(cancelled), [`${old[0]} cancelled`]);
  assert.deepEqual(await told(all), [`${other} cancelled`]);
});
