import assert from "node:assert/strict";
import { parseEnvFile } from "../../runtime/secrets/secrets.ts";

Deno.test("a .env file may have values in quotes or bare, exports and comments", () => {
  const text = [
    "# a comment",
    "A=plain value # not part of it",
    "export B='lit$eral # kept'",
    'C="two\\nlines \\"q\\""',
    "D=",
    "  E = x=y ",
    "F=a#b",
    'G="over',
    'two lines"',
    "no name",
    "H='last'\r",
  ].join("\n");
  assert.deepEqual(parseEnvFile(text), {
    A: "plain value",
    B: "lit$eral # kept",
    C: 'two\nlines "q"',
    D: "",
    E: "x=y",
    F: "a#b",
    G: "over\ntwo lines",
    H: "last",
  });
});
