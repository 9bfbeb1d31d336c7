import assert from "node:assert/strict";
import { printSummary, resultPrinter } from "../../bin/cli/print/tests.ts";
import type { Terminal } from "../../bin/cli/print/terminal.ts";
import type { TestFailure, TestResult } from "../../runtime/model/test.ts";

function printed(print: (terminal: Terminal) => void, colours = false): string {
  let text = "";
  print({ write: (part) => text += part, width: Infinity, colours, now: 0 });
  return "\n" + text;
}

const at = { line: 31, column: 9 };

function result(name: string, failure?: Partial<TestFailure>): TestResult {
  const whole = failure && { message: "not as expected", file: "a.yaml", at, mismatches: [], notes: [], ...failure };
  return { rule: "a", file: "a.yaml", at, name, took: 12.3, ...whole && { failure: whole } };
}

const calls = [1, 2, 3].map((n) => ({ http: `POST https://example.org/orders/${n}`, json: { n } }));

Deno.test("a failure is a diff: equal parts between the missing ones and those seen instead", () => {
  const failed = result("pays", {
    mismatches: [
      { part: "run", expected: "succeeded", seen: "failed" },
      { part: "calls", expected: [calls[0], calls[1]], seen: [calls[0], calls[2]] },
    ],
    notes: ["the run failed: gone\nfor good"],
  });
  const print = (terminal: Terminal) => [result("is well"), failed].forEach(resultPrinter(terminal));
  assert.equal(
    printed(print),
    `
a.yaml
  ✓ is well  12ms
  ✗ pays  12ms
    a.yaml:31:9: not as expected  - expected, + seen
      run
        - "succeeded"
        + "failed"
      calls
          {"http":"POST https://example.org/orders/1","json":{"n":1}}
        - {"http":"POST https://example.org/orders/2","json":{"n":2}}
        + {"http":"POST https://example.org/orders/3","json":{"n":3}}
      the run failed: gone for good
`,
  );
});

Deno.test("colours are for terminals; text from rules and tests cannot control the terminal", () => {
  const failed = result("\x1b[2Jpays", { message: "first\nsecond \x1b[0m", notes: ["\x1b]0;x"] });
  const plain = printed((terminal) => resultPrinter(terminal)(failed));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(plain, /\x1b/);
  assert.match(plain, /^ {4}a\.yaml:31:9: first\n {6}second �\[0m$/m);
  assert.ok(printed((terminal) => resultPrinter(terminal)(failed), true).includes("\x1b[31m✗"));
});

Deno.test("a long part is cut with a hint at the rest; additional parts never hide missing ones", () => {
  const many = Array.from({ length: 100 }, (_, n) => `line ${n}`);
  const print = (expected: string[], seen: string[]) =>
    printed((terminal) => resultPrinter(terminal)(result("long", { mismatches: [{ part: "logs", expected, seen }] })));
  assert.match(print(many, ["x"]), /\n {8}… 61 more lines \(--json shows all\)\n$/);
  assert.equal(
    print(["line 50", "x"], many).split("logs\n")[1],
    `        + "line 0"
        + "line 1"
        + "line 2"
        + … 44 lines
        + "line 47"
        + "line 48"
        + "line 49"
          "line 50"
        - "x"
        + "line 51"
        + "line 52"
        + "line 53"
        + … 43 lines
        + "line 97"
        + "line 98"
        + "line 99"
`,
  );
});

Deno.test("the summary counts what passed, failed and does not load", () => {
  const problems = [{ severity: "error" as const, file: "b.yaml", at, message: "unknown key" }];
  const summary = (results: TestResult[], found = problems) =>
    printed((terminal) => printSummary(terminal, { results, problems: found }));
  assert.equal(summary([], []), "\n0 tests passed, 0 failed\n");
  assert.equal(summary([result("a")], []), "\n\n1 test passed, 0 failed\n");
  assert.equal(
    summary([result("a"), result("b"), result("c", {})]),
    "\n\nb.yaml:31:9: unknown key\n\n2 tests passed, 1 failed, 1 problem\n",
  );
});
