import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { appendFile, chmod, readdir, readFile, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { stop } from "esbuild";
import { bundleProgram, PROGRAM } from "../../bin/build/bundle.ts";
import { type Notice, packLicenses } from "../../bin/build/licenses.ts";
import { DamagedError, executableEnd, readPayload, writePacked } from "../../bin/build/packed_folder.ts";
import { collect } from "../../bin/cli/commands/pack.ts";
import { runProgram } from "../../bin/cli/main.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { hashPassword } from "../../runtime/secrets/passwords.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { temporaryFolder } from "../e2e/program.ts";

const SIZE = 0x11000;

/** A minimal ELF file: its header, and a table of two sections at the end. */
function elf(): Buffer {
  const file = Buffer.alloc(SIZE);
  file.write("\x7fELF", "latin1");
  file.writeBigUInt64LE(BigInt(SIZE - 2 * 64), 0x28);
  file.writeUInt16LE(64, 0x3a);
  file.writeUInt16LE(2, 0x3c);
  return file;
}

Deno.test("a Mach-O program ends with its last segment, whatever the order in the header", () => {
  const head = Buffer.alloc(1024);
  head.writeUInt32LE(0xfeedfacf, 0);
  const segments = [[0, 0x4000], [0x8000, 0x1234], [0x4000, 0x4000]];
  head.writeUInt32LE(segments.length + 1, 16);
  head.writeUInt32LE(0x1b, 32);
  head.writeUInt32LE(24, 36);
  segments.forEach(([offset, size], index) => {
    const at = 56 + index * 72;
    head.writeUInt32LE(0x19, at);
    head.writeUInt32LE(72, at + 4);
    head.writeBigUInt64LE(BigInt(offset), at + 40);
    head.writeBigUInt64LE(BigInt(size), at + 48);
  });
  assert.equal(executableEnd(head), 0x9234);
  assert.throws(() => executableEnd(Buffer.alloc(1024)), /not a program/);
});

Deno.test("a packed folder is read back, replaced by the next one, and reported if any of it is missing", async () => {
  await using folder = await temporaryFolder();
  const [plain, packed] = ["plain", "packed"].map((name) => join(folder.path, name));
  await writeFile(plain, elf());
  assert.equal(await readPayload(plain), undefined);
  await writePacked(plain, Buffer.from("first, and longer"), packed);
  await writePacked(packed, Buffer.from("second"), packed);
  assert.equal((await readPayload(packed))?.toString(), "second");
  assert.equal((await stat(packed)).mode & 0o777, 0o755);
  assert.ok((await readFile(packed)).subarray(0, SIZE).equals(elf()));
  for (let { size } = await stat(packed); --size > SIZE;) {
    await truncate(packed, size);
    await assert.rejects(readPayload(packed), DamagedError);
  }
  await truncate(packed, SIZE);
  await appendFile(packed, "what somebody else appended, longer than a trailer is, so that there is room for one");
  await assert.rejects(readPayload(packed), DamagedError);
  assert.deepEqual((await readdir(folder.path)).sort(), ["packed", "plain"], "no drafts are left");
});

Deno.test("any changed byte of a packed folder is detected", async () => {
  await using folder = await temporaryFolder();
  const [plain, packed] = ["plain", "packed"].map((name) => join(folder.path, name));
  await writeFile(plain, elf());
  await writePacked(plain, Buffer.from("the payload"), packed);
  const whole = await readFile(packed);
  for (let index = SIZE; index < whole.length; index++) {
    const changed = Buffer.from(whole);
    changed[index] ^= 1 << index % 8;
    await writeFile(packed, changed);
    await assert.rejects(readPayload(packed), DamagedError, `byte ${index}`);
  }
});

const RULE = "when: start\nthen:\n  - log: hi\n";

/** The paths of the packed files, and the warnings. */
async function collected(folder: { rules: string; data: string }) {
  const out = join(folder.rules, "packed");
  const { packed, problems } = await collect({ folder: folder.rules, data: folder.data, out });
  return {
    paths: packed?.files.map(({ path }) => path),
    said: problems.map((problem) => formatProblem(problem).split("\n")[0]),
  };
}

Deno.test("files of secrets in whenthen.yaml, and links to them, are left out with a warning", async () => {
  await using folder = await rulesFolder({
    "a.yaml": RULE,
    "whenthen.yaml": "secrets: { files: [prod.env, sub/more.env], folders: mounted }\n",
    ".env": "A=1\n",
    "prod.env": "B=correct-horse\n",
    "sub/more.env": "C=correct-horse\n",
    "mounted/D": "correct-horse\n",
    "mounted/deep/E": "correct-horse\n",
    "mounted.txt": "no secret",
  });
  await symlink("prod.env", join(folder.rules, "link.txt"));
  const { paths, said } = await collected(folder);
  assert.deepEqual(paths, ["a.yaml", "mounted.txt", "whenthen.yaml"]);
  const left = ["link.txt", "mounted/D", "mounted/deep/E", "prod.env", "sub/more.env"];
  assert.deepEqual(
    said,
    left.map((path) => `${path}:1:1: warning: left out: whenthen.yaml names it as a file of secrets`),
  );
});

Deno.test("code that imports a file of secrets is not packed: it would be in its bundle", async () => {
  await using folder = await rulesFolder({
    "a.ts": 'import key from "./key.json";\nexport const read = () => key;\n',
    "key.json": '"correct-horse"',
    "whenthen.yaml": "secrets: { files: key.json }\n",
  });
  // Else there is a warning, too.
  await chmod(join(folder.rules, "key.json"), 0o600);
  const { paths, said } = await collected(folder);
  assert.equal(paths, undefined);
  assert.deepEqual(said, [
    `a.ts:1:1: imports ${join(folder.rules, "key.json")}, a file of secrets, which would be packed`,
  ]);
});

Deno.test("password hashes are packed, with a warning that names the people", async () => {
  const hash = await hashPassword("correct horse battery");
  await using folder = await rulesFolder({
    "a.yaml": RULE,
    "whenthen.yaml": `people:\n  anna:\n    password: ${JSON.stringify(hash)}\n  ben: { email: ben@example.org }\n`,
  });
  const { paths, said } = await collected(folder);
  assert.deepEqual(paths, ["a.yaml", "whenthen.yaml"]);
  assert.deepEqual(said, [
    "whenthen.yaml:3:5: warning: the hash of the password of anna is packed: whoever has the file can try to guess it",
  ]);
});

Deno.test("a pipe and a link to nowhere are left out with a warning", async () => {
  await using folder = await rulesFolder({ "a.yaml": RULE });
  execFileSync("mkfifo", [join(folder.rules, "pipe.txt")]);
  await symlink("nowhere", join(folder.rules, "link.txt"));
  assert.deepEqual(await collected(folder), {
    paths: ["a.yaml"],
    said: ["link.txt", "pipe.txt"].map((path) => `${path}:1:1: warning: left out: it is not a regular file`),
  });
});

Deno.test("licenses has a notice of every package in the bundle, of what is beside it, and of the program", async () => {
  await using folder = await temporaryFolder();
  const file = { path: "", hash: "" };
  const paths = { sqlite: "", console: { script: "", style: "" }, editorTypes: "", licenses: "" };
  try {
    const { inputs } = await bundleProgram(PROGRAM, folder.path, { commit: "", target: "", esbuild: file, ...paths });
    const packed = JSON.parse(gunzipSync(await packLicenses(inputs)).toString());
    // Deno has each package in a folder such as `node_modules/.deno/@date-fns+tz@1.5.0`.
    const folders = inputs.map((path) => /^node_modules\/\.deno\/([^/]+?)@\d/.exec(path)?.[1].replace("+", "/"));
    const bundled = new Set(folders.filter((name) => name !== undefined));
    assert.ok(bundled.has("zod") && bundled.has("string-width") && bundled.size > 25, [...bundled].join());
    const names: string[] = packed.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, [...new Set(names)], "each once");
    const beside = ["whenthen", "esbuild", "htmx.org", "sql.js", "@octokit/webhooks-types", "Bun", "Go"];
    assert.deepEqual(new Set(names), new Set([...bundled, ...beside]));
    for (const { name, version, license, text } of packed) {
      assert.ok([version, license, text].every((part) => part.length > 0), name);
    }
    // From source, the dependencies of package.json are walked: nothing that is bundled may be missing there.
    const session = await printed("licenses", "--json");
    const listed = new Map<string, Notice>(JSON.parse(session).map((notice: Notice) => [notice.name, notice]));
    for (const notice of packed.filter(({ name }: Notice) => !["Bun", "Go"].includes(name))) {
      assert.deepEqual(listed.get(notice.name), notice);
    }
    const text = await printed("licenses");
    assert.match(text, /^whenthen \d\S+, Apache-2\.0\n=+\n\n *Apache License/);
    assert.match(text, /^zod \S+, MIT\n=+\n\nMIT License\n\nCopyright/m);
  } finally {
    await stop();
  }
});

async function printed(...words: string[]): Promise<string> {
  let out = "";
  const terminal = { write: (text: string) => void (out += text), width: Infinity, colours: false, now: 0 };
  assert.equal(await runProgram(words, { terminal, complain: (text) => assert.fail(text) }), 0);
  return out;
}
