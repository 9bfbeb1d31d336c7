import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";

/** Words that make an unprivileged user of root who can still read the program's files; none if we are not root. */
const CAPABILITIES = "+dac_override,+dac_read_search";
const UNPRIVILEGED = process.getuid?.() === 0
  ? ["setpriv", "--reuid=65534", `--inh-caps=${CAPABILITIES}`, `--ambient-caps=${CAPABILITIES}`]
  : [];

/** Stands in the place of sudo in PATH: records how it is called, and starts the program. */
const SUDO = `#!/bin/sh
printf '%s\\n' "$@" >> "$(dirname "$0")/called"
while [ "\${1#-}" != "$1" ]; do shift; done
exec "$@"
`;

/**
 * Stands in the place of a sudo that makes root of us: a copy of setpriv that belongs to root and has the set-user-ID bit.
 * With `refuses`, it starts programs, but kills nothing.
 */
const real = (refuses: boolean) =>
  `#!/bin/sh
printf '%s\\n' "$*" >> "$(dirname "$0")/called"
while [ "\${1#-}" != "$1" ]; do shift; done
${refuses ? '[ "$1" = kill ] && exit 1' : ""}
exec "$(dirname "$0")/asroot" --reuid=0 --regid=0 --clear-groups "$@"
`;

for (const refuses of [false, true]) {
  const what = refuses ? "that nobody can end is said to be still running" : "is ended by sudo kill";
  Deno.test(`a command of root that takes too long ${what}`, async (t) => {
    if (process.getuid?.() !== 0) return void await t.step({ name: "only root can make it", ignore: true, fn() {} });
    await using folder = await rulesFolder({
      "commands/sleep.yaml": 'command: sleep\nroot: true\ninputs: { "<seconds>": { type: number, position: last } }\n',
      "long.yaml": `when: { event: ask }
then:
  - call: ./commands/sleep.yaml
    with: { "<seconds>": 61 }
    timeout: 1s
    retry: { attempts: 3 }
`,
    });
    const bin = join(folder.rules, "../bin");
    await mkdir(bin);
    await copyFile("/usr/bin/setpriv", join(bin, "asroot"));
    await writeFile(join(bin, "sudo"), real(refuses));
    for (const path of [join(bin, "sudo"), bin, join(folder.rules, "..")]) await chmod(path, 0o777);
    await chmod(join(bin, "asroot"), 0o4755);
    const env = { PATH: `${bin}:${process.env.PATH}` };
    await using program = start(folder.rules, { data: folder.data, env, under: UNPRIVILEGED });
    const event = { specversion: "1.0", type: "ask", source: "/test", id: "1" };
    await program.post("/events", event, { "content-type": "application/cloudevents+json" });
    await program.waitForMessage("long failed");
    const [{ error }] = await program.api("runs");
    const left = await sleepersOf("61");
    if (refuses) {
      assert.match(
        error.message,
        /took longer than its timeout of 1s; it still runs, because it belongs to another user/,
      );
      assert.equal(left.length, 1, "it is not started once more beside the one that still runs");
      left.forEach((id) => process.kill(id, "SIGKILL"));
    } else {
      assert.equal(error.message, 'Step "call" took longer than its timeout of 1s');
      assert.deepEqual(left, []);
      assert.match(await readFile(join(bin, "called"), "utf8"), /^-n kill -TERM -- -\d+$/m);
    }
  });
}

/** The processes `sleep <seconds>`, except for zombies. */
async function sleepersOf(seconds: string): Promise<number[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(ids.map(async (id) => {
    const line = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
    return line === `sleep\0${seconds}\0` ? [Number(id)] : [];
  }));
  return found.flat();
}

Deno.test("root: true runs the program by sudo -n where we are not root; an input for root is refused without it", async () => {
  await using folder = await rulesFolder({
    "commands/id.yaml": `command: sh
inputs:
  -c: { type: text, root: true }
  --token: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
`,
    "commands/root_id.yaml": "command: ./id.yaml\nroot: true\n",
    "root.yaml": `when: { event: ask }
then:
  - id: asked
    call: ./commands/root_id.yaml
    with: { -c: "printf \\"$TOKEN\\" | wc -c; id -u", --token: API_TOKEN }
`,
    "plain.yaml": `when: { event: ask }
then:
  - call: ./commands/id.yaml
    with: { -c: "\${{ event.data.line }}" }
`,
  });
  const bin = join(folder.rules, "../bin");
  await mkdir(bin);
  await writeFile(join(bin, "sudo"), SUDO);
  for (const path of [join(bin, "sudo"), bin, join(folder.rules, "..")]) await chmod(path, 0o777);
  const env = { PATH: `${bin}:${process.env.PATH}`, API_TOKEN: "correct-horse-battery" };
  await using program = start(folder.rules, { data: folder.data, env, under: UNPRIVILEGED });
  const event = { specversion: "1.0", type: "ask", source: "/test", id: "1", data: { line: "id" } };
  await program.post("/events", event, { "content-type": "application/cloudevents+json" });
  await program.waitForMessage("root succeeded");
  await program.waitForMessage("plain failed");

  const runs = await program.api("runs");
  const of = (rule: string) => runs.find((run: { rule: string }) => run.rule === rule);
  const { steps: [{ output }] } = await program.api(`runs/${of("root").id}`);
  const [length, user] = output.stdout.trim().split("\n");
  assert.equal(Number(length), "correct-horse-battery".length);
  assert.notEqual(user, "0");
  const line = 'printf "$TOKEN" | wc -c; id -u';
  assert.deepEqual(output.argv, ["-c", line]);
  assert.deepEqual((await readFile(join(bin, "called"), "utf8")).trimEnd().split("\n"), [
    ...["-n", "--preserve-env=TOKEN", "sh", "-c", line],
  ]);
  assert.match(of("plain").error.message, /-c needs root; write root: true in the command file/);
});
