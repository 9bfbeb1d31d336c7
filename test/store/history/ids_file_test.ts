import assert from "node:assert/strict";
import { Bloom } from "../../../runtime/store/history/bloom.ts";
import {
  IdentityPacker,
  mergeIds,
  PackedIdentities,
  type PackedIdentity,
  readIds,
  writeIds,
} from "../../../runtime/store/history/ids_file.ts";
import { NewerFormatError } from "../../../runtime/store/log/files.ts";
import { NOW, runId } from "./helpers.ts";

const HOUR = 3_600_000;

function identity(nth: number, facts: Partial<PackedIdentity> = {}): PackedIdentity {
  return {
    event: 2 ** 40 + nth,
    at: NOW + nth,
    within: nth % 2 ? nth * 1000 : null,
    runs: nth % 9,
    flags: nth % 4,
    ...facts,
  };
}

function hashOf(nth: number): string {
  // Hashes behave like random numbers.
  return [1, 2, 3, 4].map((salt) => (Math.imul(nth + 1, 0x9e3779b1 * salt) >>> 0).toString(16).padStart(8, "0")).join(
    "",
  );
}

function pack(entries: [nth: number, identity: PackedIdentity][]): Uint8Array {
  const packer = new IdentityPacker(10);
  for (const [nth, entry] of entries) packer.add(hashOf(nth), entry);
  return packer.finish();
}

function unpack(bytes: Uint8Array): Map<string, PackedIdentity> {
  const packed = new PackedIdentities(bytes);
  const entries = Array.from({ length: packed.count }, (_, at) => {
    const hash = packed.bytes(at).subarray(0, 16);
    return [Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join(""), packed.get(at)] as const;
  });
  assert.equal(new Map(entries).size, packed.count, "each hash once");
  return new Map(entries);
}

Deno.test("100,000 identities are read back unchanged, in order", async () => {
  const packed = pack(Array.from({ length: 100_000 }, (_, nth) => [nth, identity(nth)]));
  const file = await writeIds(packed);
  assert.ok(file.length < packed.length * 1.2, `${file.length} bytes`);
  const read = await readIds(file);
  assert.ok(read.every((byte, at) => byte === packed[at]));
  assert.equal(read.buffer.byteLength, read.length, "it can be handed to another thread");
  assert.deepEqual(new PackedIdentities(read).get(99_999), identity(99_999));
});

Deno.test("a merge drops what has expired, by its own time or by retention", async () => {
  const entries: [number, PackedIdentity][] = [
    [1, identity(1, { at: NOW, within: null })],
    [2, identity(2, { at: NOW - 2 * HOUR, within: null })],
    [3, identity(3, { at: NOW - 2 * HOUR, within: 3 * HOUR })],
    [4, identity(4, { at: NOW, within: 0 })],
    [5, identity(5, { at: NOW - HOUR + 1, within: null })],
    [6, identity(6, { at: NOW - HOUR, within: null })],
  ];
  const merged = await mergeIds([await writeIds(pack(entries))], { now: NOW, retention: HOUR });
  const kept = unpack(await readIds(merged));
  assert.deepEqual([...kept.keys()].sort(), [1, 3, 5].map(hashOf).sort());
  assert.deepEqual(kept.get(hashOf(3)), entries[2][1]);
});

Deno.test("of two identities with one hash the newest counts, in one file and over several", async () => {
  const at = (nth: number, runs: number): [number, PackedIdentity] => [nth, identity(nth, { runs, within: null })];
  const older = pack([at(1, 1), at(2, 1), at(1, 2)]);
  const newer = pack([at(2, 3), at(3, 3), at(3, 4)]);
  const files = async function* () {
    for (const packed of [newer, older]) yield await writeIds(packed);
  };
  const kept = unpack(await readIds(await mergeIds(files(), { now: NOW, retention: HOUR })));
  assert.deepEqual([1, 2, 3].map((nth) => kept.get(hashOf(nth))?.runs), [2, 3, 4]);
});

Deno.test("an identity that expired does not come back by an older one of its hash", async () => {
  const newer = pack([[1, identity(1, { at: NOW - HOUR, within: 1 })]]);
  const older = pack([[1, identity(1, { at: NOW - 2 * HOUR, within: 9 * HOUR })]]);
  const merged = await mergeIds([await writeIds(newer), await writeIds(older)], { now: NOW, retention: HOUR });
  assert.equal(unpack(await readIds(merged)).size, 0);
});

Deno.test("many files of many identities are merged into one", async () => {
  const files: Uint8Array[] = [];
  for (let file = 4; file >= 0; file--) {
    const nths = Array.from({ length: 20_000 }, (_, at) => file * 15_000 + at);
    files.push(await writeIds(pack(nths.map((nth) => [nth, identity(nth, { runs: file, within: null })]))));
  }
  const kept = unpack(await readIds(await mergeIds(files, { now: NOW, retention: HOUR })));
  assert.equal(kept.size, 80_000);
  assert.equal(kept.get(hashOf(17_000))?.runs, 1);
});

Deno.test("a merge of nothing is an empty file", async () => {
  assert.equal((await readIds(await mergeIds([], { now: NOW, retention: HOUR }))).length, 0);
});

Deno.test("a file in a newer format is neither read nor merged", async () => {
  const bytes = await writeIds(pack([[1, identity(1)]]));
  const name = new TextEncoder().encode("format");
  const at = bytes.findLastIndex((_, from) => name.every((byte, offset) => bytes[from + offset] === byte));
  // The value follows the name in its row.
  assert.equal(String.fromCharCode(bytes[at + name.length]), "1");
  bytes[at + name.length] = "9".charCodeAt(0);
  await assert.rejects(readIds(bytes.slice()), NewerFormatError);
  await assert.rejects(mergeIds([bytes.slice()], { now: NOW, retention: HOUR }), NewerFormatError);
});

function wrongOf(bitsEach: number, name: (nth: number) => string): number {
  const count = 5000;
  const texts = new Set(Array.from({ length: count }, (_, nth) => name(nth)));
  const bloom = Bloom.from(JSON.parse(JSON.stringify(Bloom.of(texts, bitsEach).toData())));
  for (const text of texts) assert.ok(bloom.mayHave(text));
  const tries = 200_000;
  let wrong = 0;
  for (let nth = count; nth < count + tries; nth++) if (bloom.mayHave(name(nth))) wrong++;
  return wrong / tries;
}

Deno.test("a Bloom filter has no false negatives, and as few false positives as its size allows", () => {
  for (const name of [(nth: number) => `customer-${nth}`, (nth: number) => `run/${runId(nth)}`, String]) {
    const [small, large] = [wrongOf(10, name), wrongOf(20, name)];
    assert.ok(small < 0.012, `10 bits: ${small}`);
    assert.ok(large < 0.0003, `20 bits: ${large}`);
  }
});

Deno.test("an empty Bloom filter contains nothing", () => {
  assert.deepEqual(Bloom.of(new Set(), 10).toData().bits, "");
  assert.equal(Bloom.from(Bloom.of(new Set(), 10).toData()).mayHave(""), false);
});
