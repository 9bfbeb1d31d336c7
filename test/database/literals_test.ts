import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { openConnections } from "../../runtime/database/connection.ts";
import { withValues } from "../../runtime/database/literals.ts";
import { DatabaseServer } from "./server.ts";

/** Without characters that PostgreSQL or UTF-8 do not have. */
const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((text) => text.replaceAll("\0", ""));
const hostile = fc.array(fc.constantFrom("'", "\\", '"', "$1", "$$", ";", "--", "/*", "\n", "E'", "\\'", "%"), {
  maxLength: 8,
});
const values = fc.oneof(text, hostile.map((parts) => parts.join("")));

Deno.test("any value comes back as it was written, whatever the server takes a backslash for", async () => {
  await using server = await DatabaseServer.start();
  const sql = await openConnections(await server.create(), { max: 1 });
  for (const standard of ["on", "off"]) {
    await sql.unsafe(`set standard_conforming_strings = ${standard}`);
    await fc.assert(
      fc.asyncProperty(values, values, fc.uint8Array(), async (one, other, bytes) => {
        const asked = "select $2::text as other, $1::text || $2 as both, $3::bytea as bytes, $1 as one";
        const [row] = await sql.unsafe(asked, [one, other, Buffer.from(bytes)]);
        assert.deepEqual([row.one, row.other, row.both], [one, other, one + other]);
        assert.deepEqual(new Uint8Array(row.bytes), bytes);
      }),
      { numRuns: 150 },
    );
  }
  await sql.end();
});

Deno.test("a text that would end the statement is refused", () => {
  assert.throws(() => withValues("select $1::text", ["a\0b"]), /U\+0000/);
});
