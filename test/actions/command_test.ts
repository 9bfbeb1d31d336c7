import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import type { ActionContext, ActionServices } from "../../runtime/actions/action.ts";
import { commandAction, commandLine, faultOfProgram } from "../../runtime/actions/call.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { LiveOutputs } from "../../runtime/host/program_output.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import { commandOf } from "../commands/support.ts";
import { until } from "../e2e/until.ts";
import { makeContext } from "./context.ts";

/** A rules folder and a run's folder, removed with `await using`. */
async function place(services: Partial<ActionServices> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-command-"));
  const files = new RunFiles(join(folder, "files"), realDisk);
  const context: ActionContext = makeContext({
    folder,
    ruleFolder: folder,
    services: {
      runFolder: (run) => files.folderOf(run),
      privateFolder: () => files.privateFolder(),
      createFile: (file) => files.create(file),
      secretOf: (name) => name === "API_TOKEN" ? "correct horse battery" : undefined,
      ...services,
    },
  });
  return {
    folder,
    run: join(folder, "files", "r1"),
    files,
    context,
    async script(name: string, text: string): Promise<void> {
      await mkdir(join(folder, "bin"), { recursive: true });
      await writeFile(join(folder, "bin", name), `#!/bin/sh\n${text}`);
      await chmod(join(folder, "bin", name), 0o755);
    },
    async execute(text: string, args: JsonObject): Promise<JsonObject> {
      const { output } = await commandAction(commandOf(text)).execute({ call: "./x.yaml", ...args }, context);
      return output as JsonObject;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** Prints each of its arguments in brackets, then its standard input. */
const SHOW = 'for a in "$@"; do printf "[%s]" "$a"; done; [ -t 0 ] || cat\n';
const SHOWING = "command: ./bin/show\ninputs: { -x: { type: text }, -n: { type: integer } }\n";

Deno.test("command: the program gets exactly the arguments; the result is that of run, with argv and files", async () => {
  await using here = await place();
  await here.script("show", SHOW);
  const evil = "; rm -rf / $(reboot)\n`id`";
  assert.deepEqual(await here.execute(SHOWING, { with: { "-x": evil, "-n": 5 }, stdin: "in" }), {
    code: 0,
    stdout: `[-x][${evil}][-n][5]in`,
    stderr: "",
    json: null,
    argv: ["-x", evil, "-n", "5"],
    files: [],
  });
});

Deno.test("command: it runs in the run's own folder; what it leaves or changes there is in files", async () => {
  await using here = await place();
  await here.script("leave", 'mkdir -p sub; printf a > sub/a.txt; printf "$1" >> b.txt; ln -sf /etc/passwd link\n');
  const text = "command: ./bin/leave\ninputs: { v: { type: text, position: first } }\n";
  const names = async (v: string) =>
    ((await here.execute(text, { with: { v } })).files as JsonObject[]).map(({ name }) => name);
  assert.deepEqual(await names("one"), ["b.txt", "sub/a.txt"]);
  assert.equal(await readFile(join(here.run, "b.txt"), "utf8"), "one");
  const { files } = await here.execute("command: /bin/sh\ninputs: { -c: { type: text } }\n", {
    with: { "-c": "printf x > c.txt" },
  });
  assert.deepEqual(files, [{
    path: join(here.run, "c.txt"),
    name: "c.txt",
    type: "application/octet-stream",
    bytes: 1,
    sha256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
  }]);
});

Deno.test("command: save puts the standard output beside, and that is no file that it left", async () => {
  await using here = await place();
  const text = "command: /bin/sh\ninputs: { -c: { type: text } }\n";
  const { stdout, files } = await here.execute(text, { with: { "-c": "printf hello" }, save: "out.txt" });
  assert.equal(await readFile((stdout as JsonObject).path as string, "utf8"), "hello");
  assert.deepEqual(files, []);
});

Deno.test("command: a secret comes by environment, standard input or a private file, never in argv; the file is gone", async () => {
  await using here = await place();
  await here.script("secret", 'printf "%s|%s|" "$*" "$TOKEN"; stat -c %a "$2"; cat "$2"; printf "|"; cat\n');
  const text = `command: ./bin/secret
inputs:
  --file: { type: secret, choices: [API_TOKEN], pass: file }
  --env: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
  --stdin: { type: secret, choices: [API_TOKEN], pass: stdin }
`;
  const values = { "--file": "API_TOKEN", "--env": "API_TOKEN", "--stdin": "API_TOKEN" };
  const { stdout, argv, files } = await here.execute(text, { with: values });
  const [flag, path] = argv as string[];
  assert.equal(flag, "--file");
  const secret = "correct horse battery";
  assert.equal(stdout, `--file ${path}|${secret}|600\n${secret}|${secret}`);
  assert.ok(path.startsWith(`${here.folder}/files/.private/`) && !JSON.stringify(argv).includes(secret));
  assert.deepEqual(files, []);
  assert.deepEqual(await readdir(join(here.folder, "files", ".private")), []);
});

Deno.test("command: the file with a secret that a killed program left is removed at the next start", async () => {
  await using here = await place();
  const left = await here.files.privateFolder();
  await writeFile(join(left, "0"), "correct horse battery", { mode: 0o600 });
  assert.equal((await stat(left)).mode & 0o777, 0o700);
  await here.files.removePrivate();
  assert.deepEqual(await readdir(join(here.folder, "files")), []);
});

Deno.test("command: what failed has argv and files beside what run says", async () => {
  await using here = await place();
  await here.script("tool", "echo half > half.txt; echo no >&2; exit 3\n");
  const failing = here.execute("command: ./bin/tool\ninputs: { -a: { type: boolean } }\n", { with: { "-a": true } });
  const error = await failing.then(() => undefined, (thrown) => thrown);
  const { code, stderr, argv, files } = error.detail;
  assert.deepEqual([code, stderr, argv], [3, "no\n", ["-a"]]);
  assert.deepEqual(files.map(({ name }: JsonObject) => name), ["half.txt"]);
});

Deno.test("command: it shows its output while it runs, as text in its charset", async () => {
  const outputs = new LiveOutputs();
  await using here = await place({ showOutput: (run, step, charset) => outputs.open(run, step, charset) });
  await here.script("tool", "printf 'gr\\374n\\n'; echo beside >&2; read line < go; echo done\n");
  await mkdir(join(here.folder, "files", "r1"), { recursive: true });
  await promisify(execFile)("mkfifo", [join(here.folder, "files", "r1", "go")]);
  const running = here.execute("command: ./bin/tool\n", { charset: "latin1" });
  const [{ step, text }] = await until(
    "its output",
    () => Promise.resolve(outputs.of("r1")),
    (all) => all[0]?.text.includes("beside"),
  );
  assert.deepEqual([step, text], ["step", "grün\nbeside\n"]);
  assert.deepEqual(outputs.of("r2"), []);
  await writeFile(join(here.folder, "files", "r1", "go"), "on\n");
  assert.equal((await running).stdout, "grün\ndone\n");
  assert.deepEqual(outputs.of("r1"), [], "the record of the step has it now");
});

Deno.test("command: a secret that is not set fails the step before anything starts", async () => {
  await using here = await place({ secretOf: () => undefined });
  const text = "command: /bin/sh\ninputs: { --t: { type: secret, choices: [API_TOKEN], pass: stdin } }\n";
  await assert.rejects(here.execute(text, { with: { "--t": "API_TOKEN" } }), {
    name: "TerminalError",
    message: "Cannot call x.yaml: the secret API_TOKEN for --t is not set",
  });
});

Deno.test("command: another version than it says is refused, each time; the right one is asked for once", async () => {
  await using here = await place();
  await here.script("tool", 'if [ "$1" = -V ]; then echo asked >> "$(dirname "$0")/asked"; echo "tool 8.1.2"; fi\n');
  const text = (is: string) => `command: ./bin/tool\nversion: { is: "${is}", by: [-V] }\n`;
  const refused = {
    name: "TerminalError",
    message: `Cannot call x.yaml: ${here.folder}/bin/tool has version 8.1.2, expected >=9 (${here.folder}/bin/tool -V)`,
  };
  await assert.rejects(here.execute(text(">=9"), {}), refused);
  await assert.rejects(here.execute(text(">=9"), {}), refused);
  await here.execute(text(">=8.1 <9"), {});
  await here.execute(text(">=8.1 <9"), {});
  assert.equal(await readFile(join(here.folder, "bin", "asked"), "utf8"), "asked\n".repeat(3));
});

Deno.test("command: a program that is not there is a fault; one without version is not started", async () => {
  await using here = await place();
  await here.script("tool", "touch started\n");
  const fault = (text: string, program: string) =>
    faultOfProgram(commandOf(text), program, { cwd: here.folder, env: { PATH: join(here.folder, "bin") } });
  assert.equal(await fault("command: tool\n", "tool"), undefined);
  assert.equal(await fault("command: tool\n", "tuul"), `there is no command "tuul" in PATH (${here.folder}/bin)`);
  assert.match((await fault("command: tool\n", "/no/tool"))!, /^there is no program \/no\/tool/);
  assert.deepEqual(await readdir(here.folder), ["bin"]);
});

Deno.test("command: as root it is the program itself if we are root, else sudo -n, which keeps the secrets' variables", () => {
  const command = commandOf("command: tool\nroot: true\n");
  const isRoot = process.getuid?.() === 0;
  const line = commandLine(command, "tool", ["-a"], ["TOKEN"]);
  assert.deepEqual(line, isRoot ? ["tool", "-a"] : ["sudo", "-n", "--preserve-env=TOKEN", "tool", "-a"]);
});
