import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  assertRegular,
  IrregularFileError,
  LARGEST_FILE,
  readRegularFile,
  readRegularFileSync,
} from "../../runtime/host/regular_file.ts";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-file-"));
  await work(folder).finally(() => rm(folder, { recursive: true }));
}

Deno.test("readRegularFile() reads a file, an empty one, one behind a link, and one of the maximum size", async () => {
  await withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    await writeFile(path("a"), "grün");
    await writeFile(path("empty"), "");
    await symlink("a", path("link"));
    await writeFile(path("large"), "");
    await truncate(path("large"), LARGEST_FILE);
    for (const [name, length] of [["a", 5], ["empty", 0], ["link", 5], ["large", LARGEST_FILE]] as const) {
      assert.equal((await readRegularFile(path(name))).length, length, name);
      assert.equal(readRegularFileSync(path(name)).length, length, name);
      assertRegular(path(name));
    }
    assert.equal((await readRegularFile(path("a"))).toString(), "grün");
  });
});

Deno.test("readRegularFile() refuses at once a file that is irregular or too large, and says what it is", async () => {
  await withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    execFileSync("mkfifo", [path("pipe")]);
    await symlink("/dev/zero", path("zero"));
    await mkdir(path("folder"));
    await writeFile(path("large"), "");
    await truncate(path("large"), LARGEST_FILE + 1);
    const refused = {
      pipe: "expected a regular file, got a named pipe",
      zero: "expected a regular file, got a device",
      folder: "expected a regular file, got a folder",
      large: "a file may have 5000000 bytes, not 5000001",
    };
    for (const [name, message] of Object.entries(refused)) {
      const isRefusal = (error: unknown) => error instanceof IrregularFileError && error.message === message;
      await assert.rejects(readRegularFile(path(name)), isRefusal, name);
      assert.throws(() => readRegularFileSync(path(name)), isRefusal, name);
      assert.throws(() => assertRegular(path(name)), isRefusal, name);
    }
    await assert.rejects(readRegularFile(path("nowhere")), { code: "ENOENT" });
  });
});
