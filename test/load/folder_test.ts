import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFolder } from "../../runtime/load/folder.ts";

Deno.test("a file that is empty because it is being saved is read with what is saved; one that stays empty is empty", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-folder-"));
  try {
    for (const name of ["saved.yaml", "empty.yaml"]) await writeFile(join(folder, name), "");
    const reading = readFolder({ folder, ignore: [] });
    await writeFile(join(folder, "saved.yaml"), "when: start\n");
    assert.deepEqual(await reading, [
      { path: "empty.yaml", text: "" },
      { path: "saved.yaml", text: "when: start\n" },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
