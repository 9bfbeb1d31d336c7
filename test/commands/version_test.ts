import assert from "node:assert/strict";
import { findVersion, isConstraint, satisfies, versionFault } from "../../runtime/commands/version.ts";

Deno.test("a version is found in what programs say", () => {
  for (
    const [output, version] of [
      ["OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)", "3.0.19"],
      ["curl 8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0", "8.5.0"],
      ["git version 2.39.5", "2.39.5"],
      ["v22.1", "22.1"],
      ["less 608 (GNU regular expressions)", "608"],
      ["no version here", undefined],
    ] as const
  ) assert.equal(findVersion(output), version, output);
});

Deno.test("a version fulfils a constraint by its numbers, not by its text", () => {
  for (
    const [version, constraint, holds] of [
      ["8.5.1", "8.5", true],
      ["8.50", "8.5", false],
      ["8.10", ">=8.9", true],
      ["8.10", ">=7.9 <8.10", false],
      ["8", "=8.0", true],
      ["9.0", ">9", false],
      ["9.0.1", ">9", true],
      ["3.0", "<=3", true],
    ] as const
  ) assert.equal(satisfies(version, constraint), holds, `${version} ${constraint}`);
  assert.deepEqual(["8.5", ">=1 <2", "8.x", "", "~1"].map(isConstraint), [true, true, false, false, false]);
});

Deno.test("the fault names what was asked, found and expected", () => {
  const check = { is: ">=9", by: ["-V"] };
  assert.equal(versionFault("tool", check, "tool 8.1"), "tool has version 8.1, expected >=9 (tool -V)");
  assert.equal(versionFault("tool", check, "hi"), "tool -V says no version, expected >=9");
  assert.equal(versionFault("tool", check, "tool 9.1"), undefined);
});
