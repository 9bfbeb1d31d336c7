import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { FolderReader } from "../../runtime/folder/folder_files.ts";
import { heads, TestFolder } from "./loading.ts";

Deno.test("a file that is empty during a save is read with its new content; one that stays empty is empty", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-folder-"));
  try {
    for (const name of ["saved.yaml", "empty.yaml"]) await writeFile(join(folder, name), "");
    // Emptied just now, however slow this machine is to reach the next line.
    const soon = new Date(Date.now() + 60_000);
    await utimes(join(folder, "saved.yaml"), soon, soon);
    const reading = new FolderReader({ folder, ignore: [] }).read();
    await writeFile(join(folder, "saved.yaml"), "when: start\n");
    assert.deepEqual(await reading, [
      { path: "empty.yaml", text: "" },
      { path: "saved.yaml", text: "when: start\n" },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("a file saved again with the same size and time is read again, and so is a replaced one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-folder-"));
  const old = new Date("2020-01-01");
  const save = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    await utimes(join(folder, name), old, old);
  };
  const reader = new FolderReader({ folder, ignore: [] });
  const texts = async () => (await reader.read()).map(({ text }) => text);
  try {
    for (const name of ["saved.yaml", "swapped.yaml", "gone.yaml"]) await save(name, "one");
    assert.deepEqual(await texts(), ["one", "one", "one"]);
    await save("saved.yaml", "two");
    await save("other", "six");
    await rename(join(folder, "other"), join(folder, "swapped.yaml"));
    await rm(join(folder, "gone.yaml"));
    assert.deepEqual(await texts(), ["two", "six"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("unchanged files are not read again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-folder-"));
  const reader = new FolderReader({ folder, ignore: [] }, -60_000);
  try {
    for (const name of ["a.yaml", "b.yaml"]) await writeFile(join(folder, name), "one");
    const [a, b] = await reader.read();
    await writeFile(join(folder, "b.yaml"), "longer");
    const again = await reader.read();
    assert.equal(again[0], a);
    assert.notEqual(again[1], b);
    assert.deepEqual(again[1], { path: "b.yaml", text: "longer" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

const rule = (step = "log: hi") => `when:\n  every: 5m\nthen:\n  - ${step}\n`;
const PIPE = "expected a regular file, got a named pipe";
const DEVICE = "expected a regular file, got a device";
const LARGE = "a file may have 5000000 bytes, not 5000001";

/** Creates irregular files in a folder. */
function irregular(folder: TestFolder) {
  const path = (name: string) => join(folder.path, name);
  return {
    pipe: (name: string) => execFileSync("mkfifo", [path(name)]),
    device: (name: string) => symlink("/dev/zero", path(name)),
    large: async (name: string) => {
      await writeFile(path(name), "");
      await truncate(path(name), 5_000_001);
    },
    /** A name that is the byte 0xFF; the runtime itself cannot express it. */
    noUtf8: (name: string) =>
      execFileSync("sh", [
        "-c",
        `mkdir "$1/$(printf 'dir\\377')" && echo > "$1/$(printf "$2")"`,
        "sh",
        folder.path,
        name,
      ]),
  };
}

Deno.test("a pipe, a device and a huge file are problems of that file, in YAML and in TypeScript", async () => {
  await using folder = await TestFolder.with({ "good.yaml": rule() });
  const put = irregular(folder);
  for (const extension of ["yaml", "ts"]) {
    put.pipe(`pipe.${extension}`);
    await put.device(`device.${extension}`);
    await put.large(`large.${extension}`);
  }
  const expected = ["ts", "yaml"].flatMap((extension) => [
    `device.${extension}:1:1: ${DEVICE}`,
    `large.${extension}:1:1: ${LARGE}`,
    `pipe.${extension}:1:1: ${PIPE}`,
  ]);
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), expected.sort());
  assert.deepEqual([...loaded.rules.keys()], ["good"]);
  assert.equal(loaded.broken.size, 6);
  assert.deepEqual(heads(await folder.load()), expected, "again at the next load");
});

Deno.test("a rule file that is not UTF-8 is a problem of that file, and its last good version stays", async () => {
  await using folder = await TestFolder.with({ "good.yaml": rule(), "a.yaml": rule() });
  const { version } = (await folder.load()).rules.get("a")!;
  await writeFile(join(folder.path, "a.yaml"), Buffer.from(rule("log: caf\xe9"), "latin1"));
  await writeFile(join(folder.path, "b.ts"), Buffer.from("// caf\xe9\nexport default 1;\n", "latin1"));
  await writeFile(join(folder.path, "c.yaml"), Buffer.from(`\uFEFF${rule()}`, "utf16le"));
  const loaded = await folder.load();
  const message = "1:1: this file is not text in UTF-8";
  assert.deepEqual(heads(loaded), [`a.yaml:${message}`, `b.ts:${message}`, `c.yaml:${message}`]);
  assert.equal(loaded.rules.get("a")!.version, version);
  assert.deepEqual([...loaded.rules.keys()].sort(), ["a", "good"]);
});

Deno.test("if a pipe or a device replaces a rule, its last good version stays", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule(), "b.ts": "" });
  const put = irregular(folder);
  const { version } = (await folder.load()).rules.get("a")!;
  await folder.remove("a.yaml");
  put.pipe("a.yaml");
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [`a.yaml:1:1: ${PIPE}`]);
  assert.equal(loaded.rules.get("a")!.version, version);
  await folder.remove("a.yaml");
  await folder.write({ "a.yaml": "" });
  assert.deepEqual(heads(await folder.load()), ["a.yaml:1:1: warning: this file is empty"]);
});

Deno.test("settings and config that are no longer files change nothing", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `config: { to: { type: text } }\n${rule()}`,
    "config.yaml": "a: { to: x }\n",
    "whenthen.yaml": "port: 81\n",
  });
  const put = irregular(folder);
  await folder.load();
  for (const name of ["config.yaml", "whenthen.yaml"]) {
    await folder.remove(name);
    put.pipe(name);
  }
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [`config.yaml:1:1: ${PIPE}`, `whenthen.yaml:1:1: ${PIPE}`]);
  assert.deepEqual(loaded.rules.get("a")!.config, { to: "x" });
  assert.equal(loaded.settings.port, 81);
});

Deno.test("imports of TypeScript, called files and files of secrets must be regular files, too", async () => {
  await using outside = await TestFolder.with({});
  const target = `../${basename(outside.path)}/act.yaml`;
  await using folder = await TestFolder.with({
    "imports.ts": 'import "./pipe.js"; import "./device.json";',
    "calls.yaml": rule(`call: ${target}`),
    "deep/package.ts": 'import "./x.js";',
    "deep/x.js": "",
    "deeper/a.ts": 'import "../deep/x.js";',
    "secret.yaml": rule('run: [echo, "${{ secrets.A }}"]'),
  });
  const put = irregular(folder);
  put.pipe("pipe.js");
  put.pipe("deep/package.json");
  put.pipe(".env");
  await put.device("device.json");
  irregular(outside).pipe("act.yaml");
  assert.deepEqual(heads(await folder.load()), [
    `${target}:1:1: ${PIPE}`,
    `.env:1:1: the secrets in this file cannot be read: ${PIPE}`,
    `calls.yaml:4:11: ${target} does not load`,
    `deep/package.ts:1:1: cannot read "${join(folder.path, "deep/package.json")}": ${PIPE}`,
    `deeper/a.ts:1:8: cannot read "${join(folder.path, "deep/package.json")}": ${PIPE}`,
    `imports.ts:1:8: cannot read "${join(folder.path, "pipe.js")}": ${PIPE}`,
    `imports.ts:1:28: cannot read "/dev/zero": ${DEVICE}`,
    "secret.yaml:4:22: warning: the secret A is not set",
  ]);
});

Deno.test("names that are not UTF-8 are problems of that file or folder", async () => {
  await using folder = await TestFolder.with({ "good.yaml": rule(), "\uFFFD.yaml": rule() });
  irregular(folder).noUtf8("bad\\377.yaml");
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    "bad\uFFFD.yaml:1:1: the name of this file is not UTF-8",
    "dir\uFFFD:1:1: the name of this folder is not UTF-8",
  ]);
  assert.deepEqual([...loaded.rules.keys()].sort(), ["good", "\uFFFD"]);
});

Deno.test("a folder that cannot be read is a problem; the rules from it stay", async () => {
  await using folder = await TestFolder.with({ "in/a.yaml": rule(), "good.yaml": rule() });
  await using outside = await TestFolder.with({});
  await folder.load();
  await folder.remove("in");
  await symlink(await tooDeep(outside.path), join(folder.path, "in"));
  const loaded = await folder.load();
  assert.match(heads(loaded).join("\n"), /^in:1:1: the folder cannot be read: .*$/);
  assert.deepEqual([...loaded.rules.keys()].sort(), ["good", "in/a"]);
  await folder.remove("in");
  assert.deepEqual([...(await folder.load()).rules.keys()], ["good"]);
});

/** A folder that exists, but whose path exceeds the maximum length: a link leads half the way. Even root cannot read it. */
async function tooDeep(folder: string): Promise<string> {
  const name = "d".repeat(250);
  const script = `cd "$1" && for i in $(seq 18); do mkdir ${name} && cd -P ${name} || exit 1; done`;
  execFileSync("bash", ["-c", script, "bash", folder]);
  await symlink(join(folder, ...Array(15).fill(name)), join(folder, "half"));
  return join(folder, "half", name, name, name);
}
