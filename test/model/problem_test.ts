import assert from "node:assert/strict";
import { formatProblem } from "../../runtime/model/problem.ts";

Deno.test("formatProblem() shows position, line, caret and remedy", () => {
  const text = formatProblem({
    severity: "error",
    file: "ops/disk.yaml",
    at: { line: 3, column: 5, length: 3 },
    message: 'expected one of "cron", "poll", got "crn"',
    hint: 'did you mean "cron"?',
    sourceLine: "  - crn: 5m",
  });
  assert.equal(
    text,
    [
      'ops/disk.yaml:3:5: expected one of "cron", "poll", got "crn"',
      "      - crn: 5m",
      "        ^^^",
      '    did you mean "cron"?',
    ].join("\n"),
  );
});

Deno.test("formatProblem() keeps the caret within the line and below tabs", () => {
  const problem = { severity: "warning", file: "a.yaml", message: "m", sourceLine: "\tx" } as const;
  const text = formatProblem({ ...problem, at: { line: 1, column: 2, length: 99 } });
  assert.equal(text, "a.yaml:1:2: warning: m\n     x\n     ^");
});

Deno.test("formatProblem() escapes control characters in names and data, so that they add no lines", () => {
  const text = formatProblem({
    severity: "error",
    file: "a\n08:00:00 forged.yaml",
    at: { line: 1, column: 3 },
    message: 'got "x\r\n\u001b[2J\u2028y"',
    hint: "one\ntwo\u202e",
    sourceLine: "a\u001bb",
  });
  assert.deepEqual(text.split("\n"), [
    'a\\n08:00:00 forged.yaml:1:3: got "x\\r\\n\\u001b[2J\\u2028y"',
    "    a�b",
    "      ^",
    "    one",
    "    two\\u202e",
  ]);
});
