import assert from "node:assert/strict";
import { mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderReader } from "../../runtime/folder/folder_reader.ts";

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
