import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { appendFile, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DamagedError, executableEnd, readPayload, writePacked } from "../../bin/build/pack/payload.ts";
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
