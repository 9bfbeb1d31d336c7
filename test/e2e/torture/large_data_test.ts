import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start, whenthen } from "../program.ts";
import { until } from "../until.ts";
import { WebServer } from "../web_server.ts";

const LINE = "0123456789abcd\n";
const SIZE = 30_000_000;
/** The output of the command, and the response of the server. */
const LARGE = Buffer.alloc(SIZE, LINE);
const SHA256 = createHash("sha256").update(LARGE).digest("hex");
const COMMAND = `[sh, -c, "yes 0123456789abcd | head -c ${SIZE}"]`;

/** Sends an event to a rule. @returns its run after it has ended */
async function run(program: Program, path: string): Promise<Answered> {
  const { body } = await program.post(`/hooks${path}`, {});
  const isOver = ({ run }: Answered) => run.state === "succeeded" || run.state === "failed";
  return await until(`the end of ${path}`, () => program.api(`runs/${body.runs[0]}`), isOver);
}

const outputOf = ({ steps }: Answered) => steps[0].output;

/** All files that runs have saved, and drafts. */
async function filesIn(data: string): Promise<string[]> {
  const entries = await readdir(join(data, "files"), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

Deno.test("30 MB of output and of a response: an error that names the remedies, the tail, or a file", async () => {
  await using server = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(LARGE);
  });
  const rule = (name: string, step: string) => ({
    [`${name}.yaml`]: `when: { webhook: /${name}, auth: none }\nthen:\n  - { id: it, ${step} }\n`,
  });
  await using folder = await rulesFolder({
    ...rule("run", `run: ${COMMAND}`),
    ...rule("tail", `run: ${COMMAND}, keep: tail`),
    ...rule("save", `run: ${COMMAND}, save: large.txt`),
    ...rule("http", `http: "${server.url}/"`),
    ...rule("fetch", `http: "${server.url}/", save: large.txt`),
    "in_code.ts": `import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/in-code", { auth: "none" }),
  then: async ({ step }) => {
    const { stdout } = await step.run("it", ["sh", "-c", "yes 0123456789abcd | head -c ${SIZE}"], { save: "large.txt" });
    return stdout.sha256;
  },
});
`,
  });
  await using program = start(folder.rules, { data: folder.data });

  const failed = (await run(program, "/run")).run.error.message;
  assert.match(failed, /wrote 30000000 bytes, at most 10000000 are kept; "save: name" would .*, "keep: tail" keep/);
  assert.match(
    (await run(program, "/http")).run.error.message,
    /over 10 MB, .*; "save: name" would put it into a file/,
  );

  const { stdout, dropped, json } = outputOf(await run(program, "/tail"));
  assert.ok(stdout.length > 9_000_000 && stdout.length < 10_000_000);
  assert.equal(stdout, LARGE.toString("latin1", SIZE - stdout.length));
  assert.deepEqual([dropped, json], [{ stdout: SIZE - stdout.length, stderr: 0 }, null]);

  const saved: [string, Answered, string][] = [];
  const { code, stdout: file, stderr, json: none } = outputOf(await run(program, "/save"));
  assert.deepEqual([code, stderr, none], [0, "", null]);
  saved.push(["/save", file, "application/octet-stream"]);
  const { status, body } = outputOf(await run(program, "/fetch"));
  assert.equal(status, 200);
  saved.push(["/fetch", body, "text/plain; charset=utf-8"]);
  const inCode = await run(program, "/in-code");
  assert.equal(inCode.run.output, SHA256);
  saved.push(["/in-code", outputOf(inCode).stdout, "application/octet-stream"]);
  for (const [what, { path, ...rest }, type] of saved) {
    assert.deepEqual(rest, { name: "large.txt", type, bytes: SIZE, sha256: SHA256 }, what);
    assert.ok(path.startsWith(join(folder.data, "files") + "/"), path);
    assert.ok((await readFile(path)).equals(LARGE), what);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  }
  assert.deepEqual((await filesIn(folder.data)).sort(), saved.map(([, { path }]) => path).sort());
  assert.equal(await program.stop(), 0);
});

Deno.test("a program killed while it saves leaves no partial file; the next attempt saves all of it", async () => {
  await using folder = await rulesFolder({});
  const go = join(folder.rules, "..", "go");
  const script = `yes 0123456789abcd | head -c ${SIZE}; while [ ! -e '${go}' ]; do sleep 0.1; done; echo end`;
  await folder.write(
    "slow.yaml",
    `when: { webhook: /slow, auth: none }\nthen:\n  - run: [sh, -c, "${script}"]\n    save: slow.txt\n`,
  );
  let id: string;
  {
    await using program = start(folder.rules, { data: folder.data });
    id = (await program.post("/hooks/slow", {})).body.runs[0];
    const size = async () => {
      const [draft] = await filesIn(folder.data);
      return draft === undefined ? 0 : (await stat(draft)).size;
    };
    await until("most of the draft", size, (bytes) => bytes > SIZE - 2_000_000);
    await program.kill();
  }
  assert.ok((await filesIn(folder.data)).every((path) => !path.endsWith("slow.txt")));
  await writeFile(go, "");
  await using program = start(folder.rules, { data: folder.data });
  const isOver = ({ run }: Answered) => run.state === "succeeded";
  const { steps: [{ output: { stdout: { path, bytes } } }] } = await until(
    "the end of the run",
    () => program.api(`runs/${id}`),
    isOver,
  );
  assert.equal(bytes, SIZE + 4);
  assert.ok((await readFile(path)).equals(Buffer.concat([LARGE, Buffer.from("end\n")])));
  assert.deepEqual(await filesIn(folder.data), [path]);
});

Deno.test("a name that leads out of the folder is a problem when the file loads", async () => {
  await using folder = await rulesFolder({
    "out.yaml": "when: manual\nthen:\n  - { run: [ls], save: ../ls.txt }\n",
  });
  const { code, stdout } = await whenthen(["check", folder.rules, "--data", folder.data]);
  assert.notEqual(code, 0);
  assert.match(stdout, /out\.yaml:3:24.*expected a plain file name such as report\.csv, got "\.\.\/ls\.txt"/);
});

Deno.test("a saved file is removed when its run leaves history", async () => {
  await using folder = await rulesFolder({
    "whenthen.yaml": "retention: { bytes: 1MB }\n",
    "save.yaml": "when: { webhook: /save, auth: none }\nlimit: none\nthen:\n  - { run: [echo, x], save: x.txt }\n",
  });
  await using program = start(folder.rules, { data: folder.data });
  const runs: string[] = [];
  // A segment is folded into history once it has 6 MB.
  for (let at = 0; at < 16; at++) {
    const { status, body } = await program.post("/hooks/save", { ballast: "x".repeat(900_000) });
    assert.equal(status, 202);
    runs.push(body.runs[0]);
    const isOver = ({ run }: Answered) => run.state === "succeeded";
    await until(`the end of ${runs[at]}`, () => program.api(`runs/${runs[at]}`), isOver);
  }
  const saved = await until(
    "the first run's folder to go",
    () => readdir(join(folder.data, "files")),
    (names) => !names.includes(runs[0]),
  );
  assert.ok(saved.includes(runs[15]), "the last run is known");
  assert.match((await program.api(`runs/${runs[0]}`)).error, /./);
});
