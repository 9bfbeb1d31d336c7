import assert from "node:assert/strict";
import fc from "fast-check";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { formatProblem } from "../../runtime/model/problem.ts";

function shown(text: string): string[] {
  return parseYaml(text, "a.yaml").problems.map(formatProblem);
}

Deno.test("a file without mistakes gives its value and no problems", () => {
  const { value, problems } = parseYaml("when:\n  every: 5m # often\non: [changed]\na: no\n1: one\n", "a.yaml");
  assert.deepEqual(value, { when: { every: "5m" }, on: ["changed"], a: "no", 1: "one" });
  assert.deepEqual(problems, []);
});

const SLIPS: [name: string, text: string, problem: string][] = [
  ["a tag", "if: !x", 'a.yaml:1:5: "!x" reads as a YAML tag|    if: !x|        ^^|    quote it: if: "!x"'],
  [
    "a tag that YAML would swallow",
    "if: ! event.data.x",
    'a.yaml:1:5: "!" reads as a YAML tag|    if: ! event.data.x|        ^^^^^^^^^^^^^^|    quote it: if: "! event.data.x"',
  ],
  [
    "an alias",
    "when:\n  cron: */5 * * * *",
    'a.yaml:2:9: a value that begins with "*" reads as a YAML alias|      cron: */5 * * * *|            ^^^^^^^^^^^' +
    '|    quote it: cron: "*/5 * * * *"',
  ],
  [
    "an alias of nothing",
    "cron: *5",
    'a.yaml:1:7: "*5" reads as a YAML alias of an anchor that does not exist|    cron: *5|          ^^|    quote it: "*5"',
  ],
  [
    "an expression in a flow map",
    "json: { sku: ${{ event.data.sku }}, b: 2 }",
    "a.yaml:1:14: an expression inside { } or [ ] needs quotes|    json: { sku: ${{ event.data.sku }}, b: 2 }" +
    '|                 ^^^^^^^^^^^^^^^^^^^^^|    quote it: "${{ event.data.sku }}"',
  ],
  [
    "an expression in a flow list",
    "run: [echo, ${{ x }}]",
    "a.yaml:1:13: an expression inside { } or [ ] needs quotes|    run: [echo, ${{ x }}]|                ^^^^^^^^" +
    '|    quote it: "${{ x }}"',
  ],
  [
    "an expression with a colon",
    "log: ${{ y }} of ${{ x ? 1 : 2 }}",
    'a.yaml:1:6: a value with ": " in it reads as a nested mapping|    log: ${{ y }} of ${{ x ? 1 : 2 }}' +
    '|         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^|    quote it: log: "${{ y }} of ${{ x ? 1 : 2 }}"',
  ],
  [
    "a colon in a value",
    "text: Done: ${{ x }}",
    'a.yaml:1:7: a value with ": " in it reads as a nested mapping|    text: Done: ${{ x }}|          ^^^^^^^^^^^^^^' +
    '|    quote it: text: "Done: ${{ x }}"',
  ],
  [
    "a comment in place of a value",
    "channel: #deals",
    'a.yaml:1:10: "channel" has no value: "#" begins a comment|    channel: #deals|             ^^^^^^' +
    '|    quote it: channel: "#deals"',
  ],
  [
    "a comment that cuts a value off",
    "text: Order #${{ id }}",
    'a.yaml:1:13: "#${{ id }}" is a comment: "#" after a space begins one|    text: Order #${{ id }}' +
    '|                ^^^^^^^^^^|    quote the whole: "Order #${{ id }}"; or put a space after the "#"',
  ],
  ["a tab", "a:\n\tb: 1", "a.yaml:2:1: a tab in the indentation|     b: 1|    ^|    indent with spaces"],
  [
    "a key twice",
    "a: 1\nb: 2\na: 2",
    'a.yaml:3:1: "a" is here twice: first in line 1|    a: 2|    ^|    keep one of them',
  ],
  [
    "a key twice in a nested block",
    "a: 1\nb:\n  a: 1\n  c: 2\n  a: 3",
    'a.yaml:5:3: "a" is here twice: first in line 3|      a: 3|      ^|    keep one of them',
  ],
  [
    "a key twice in braces",
    '{ a: 1, "a": 2 }',
    'a.yaml:1:9: "a" is here twice: first in line 1|    { a: 1, "a": 2 }|            ^^^|    keep one of them',
  ],
  [
    "an empty key twice",
    "\"\": 1\n'': 2",
    "a.yaml:2:1: \"\" is here twice: first in line 1|    '': 2|    ^^|    keep one of them",
  ],
  [
    "braces without $",
    "text: {{ event.id }}",
    "a.yaml:1:7: an expression begins with ${{|    text: {{ event.id }}|          ^^^^^^^^^^^^^^" +
    "|    write text: ${{ event.id }}",
  ],
  [
    "a missing space",
    "then: []\nevery:5m\nname: a",
    'a.yaml:2:1: expected a key with a value, got "every:5m"|    every:5m|    ^^^^^^^^' +
    "|    put a space after the colon: every: 5m",
  ],
  [
    "a quoted beginning",
    "if: 'a' == b",
    "a.yaml:1:5: a value that begins with ' ends at the next quote|    if: 'a' == b|        ^^^^^^^^" +
    "|    quote it: if: \"'a' == b\"",
  ],
  [
    "a comparison at the beginning",
    "if: > 5",
    'a.yaml:1:5: a value that begins with ">" reads as a block of text|    if: > 5|        ^^^|    quote it: if: "> 5"',
  ],
  ["an unclosed quote", 'a: "x\nb: 1\n', 'a.yaml:1:4: this quote is not closed|    a: "x|       ^|    close it with "'],
  ["an unclosed list", "a: [1, 2\nb: 3", "a.yaml:1:4: this [ is not closed|    a: [1, 2|       ^|    close it with ]"],
  [
    "digits that would be lost",
    "zip: 01234",
    'a.yaml:1:6: "01234" reads as the number 1234|    zip: 01234|         ^^^^^|    quote it if it is text: "01234"',
  ],
  [
    "a second document",
    "a: 1\n---\nb: 2",
    'a.yaml:2:1: "---" begins a second document|    ---|    ^^^|    put each rule into a file of its own',
  ],
];

for (const [name, text, problem] of SLIPS) {
  Deno.test(`the mistake is explained with its remedy: ${name}`, () => {
    assert.deepEqual(shown(text), [problem.replaceAll("|", "\n")]);
  });
}

Deno.test("of several syntax errors the first is reported, of other mistakes all", () => {
  assert.equal(shown("a: @x\nb: @y\nc: [").length, 1);
  assert.equal(shown("if: !x\nchannel: #deals\na: 1\na: 2\nb: *c").length, 4);
});

Deno.test("values that YAML misreads come back as they were written", () => {
  const { value, origin } = parseYaml("if: !event.data.x && y\nchannel: #deals\nthen:\n  - !x\n", "a.yaml");
  assert.deepEqual(value, { if: "!event.data.x && y", channel: "#deals", then: ["!x"] });
  assert.deepEqual(origin.within(["if"], 1, 5), { line: 1, column: 6, length: 5 });
});

Deno.test("anchors may be used, but not for exponential growth", () => {
  assert.deepEqual(parseYaml("a: &x [1]\nb: *x", "a.yaml").value, { a: [1], b: [1] });
  const bomb = ["a: &a [1,1,1,1,1,1,1,1,1]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg"]) {
    bomb.push(`${to}: &${to} [${Array(9).fill(`*${from}`).join(", ")}]`);
  }
  const { value, problems } = parseYaml(bomb.join("\n"), "a.yaml");
  assert.equal(value, undefined);
  assert.equal(problems[0].message, "aliases may stand for 1000000 values");
  assert.equal(problems[0].at.line, 7);
  assert.match(shown("a: &x [*x]")[0], /refers to a value that contains it/);
});

Deno.test("too many values of merged blocks are refused at their place", () => {
  const block = `x: &x { ${Array.from({ length: 3_000 }, (_, index) => `k${index}: 1`).join(", ")} }\n`;
  const { value, problems } = parseYaml(`${block}list:\n${"  - <<: *x\n".repeat(1_250)}`, "a.yaml");
  assert.equal(value, undefined);
  assert.equal(problems[0].message, "merged blocks may have 100000 values");
  assert.deepEqual(problems[0].at, { line: 36, column: 9, length: 2 });
  const [many] = parseYaml(`x: &x []\nlist:\n${"  - *x\n".repeat(11_000)}`, "a.yaml").problems;
  assert.equal(many.message, "too many aliases and anchors");
  assert.ok(many.at.line > 10_000, `${many.at.line}`);
});

Deno.test("<< merges blocks: own keys win, then those of the block that is named first", () => {
  const { value, problems, origin } = parseYaml(
    `x-slow: &slow { timeout: 5m, retry: 3 }
x-often: &often { retry: 9, max: 1 }
one: { <<: *slow, retry: 1 }
two:
  retry: 2
  <<: [*slow, *often]
three: { <<: { max: 3 }, text: "<<" }
`,
    "a.yaml",
  );
  assert.deepEqual(problems, []);
  assert.deepEqual((value as JsonObject).one, { timeout: "5m", retry: 1 });
  assert.deepEqual((value as JsonObject).two, { retry: 2, timeout: "5m", max: 1 });
  assert.deepEqual((value as JsonObject).three, { max: 3, text: "<<" });
  assert.deepEqual(origin.at(["two", "timeout"], "value"), { line: 1, column: 26, length: 2 });
  assert.deepEqual(origin.at(["two", "max"], "key"), { line: 2, column: 29, length: 3 });
  assert.deepEqual(origin.at(["two", "retry"], "value"), { line: 5, column: 10, length: 1 });
  assert.equal(origin.written(["two", "timeout"]), "5m");
});

Deno.test("a block may be used many hundred times", () => {
  const { value, problems } = parseYaml(`x: &x { a: 1 }\nlist:\n${"  - <<: *x\n".repeat(2_000)}`, "a.yaml");
  assert.deepEqual(problems, []);
  assert.equal(((value as JsonObject).list as Json[]).length, 2_000);
});

const UNMERGED: [text: string, place: string][] = [
  ["a: { <<: 5 }", 'a.yaml:1:10: "<<" merges the keys of other blocks'],
  ["a: { <<: *b }", 'a.yaml:1:10: "*b" reads as a YAML alias of an anchor that does not exist'],
  ["a: &a [1]\nb: { <<: *a }", 'a.yaml:2:10: "*a" is no block of keys'],
  ["a: &a { <<: *a }", 'a.yaml:1:13: "*a" refers to a value that contains it'],
  ["a: &a { b: 1 }\nc: { <<: [*a, 5] }", 'a.yaml:2:15: "<<" merges the keys of other blocks'],
];

for (const [text, place] of UNMERGED) {
  Deno.test(`${JSON.stringify(text)} is a problem: ${place}`, () => {
    assert.deepEqual(shown(text).map((problem) => problem.split("\n")[0]), [place]);
    assert.match(shown(text)[0], /merge a block that has an anchor: x-slow: &slow/);
  });
}

Deno.test("the length and depth of a file are limited", () => {
  assert.match(shown(`a: ${"x".repeat(1_000_001)}`)[0], /1000000 characters/);
  assert.match(shown(`a: ${"[".repeat(200)}${"]".repeat(200)}`)[0], /100 levels deep/);
  assert.match(shown("[".repeat(20_000))[0], /100 levels deep/);
});

Deno.test("a byte order mark and Windows line ends do not shift positions", () => {
  const { origin, problems } = parseYaml("\uFEFFa: 1\r\nb:\r\n  c: !x\r\n", "a.yaml");
  assert.equal(formatProblem(problems[0]).split("\n")[1], "      c: !x");
  assert.deepEqual(origin.at(["b", "c"], "key"), { line: 3, column: 3, length: 1 });
});

Deno.test("positions are those of keys and values, or of the nearest parent of a missing one", () => {
  const { origin } = parseYaml(
    "when:\n  poll: https://x\n  every: 5m\nthen:\n  - log: hi\n  - id: b\n    empty:\n",
    "a.yaml",
  );
  assert.deepEqual(origin.at(["when", "every"], "key"), { line: 3, column: 3, length: 5 });
  assert.deepEqual(origin.at(["when", "every"], "value"), { line: 3, column: 10, length: 2 });
  assert.deepEqual(origin.at(["then", 1, "id"], "value"), { line: 6, column: 9, length: 1 });
  assert.deepEqual(origin.at(["then", 1], "value"), { line: 6, column: 5 });
  assert.deepEqual(origin.at(["then", 1, "nope", 3], "value"), { line: 6, column: 5 });
  assert.deepEqual(origin.at(["then", 1, "empty"], "value"), { line: 7, column: 5, length: 5 });
  assert.deepEqual(origin.at([], "value"), { line: 1, column: 1 });
});

const STYLES: [name: string, text: string, line: number, column: number][] = [
  ["plain", "a: one two", 1, 8],
  ["plain over several lines", "a: one\n   two", 2, 4],
  ["single-quoted", "a: 'it''s two'", 1, 11],
  ["double-quoted", 'a: "\\u0061\\n\\"b two"', 1, 17],
  ["literal block", "a: |\n  one\n   two\n", 3, 4],
  ["literal block with a comment in its header", "a: |- # note\n    one two\n", 2, 9],
  ["folded block", "a: >\n  one\n\n  two\n", 4, 3],
];

for (const [name, text, line, column] of STYLES) {
  Deno.test(`a word inside a scalar has its position: ${name}`, () => {
    const { value, origin } = parseYaml(text, "a.yaml");
    const offset = (value as { a: string }).a.indexOf("two");
    assert.deepEqual(origin.within(["a"], offset, 3), { line, column, length: 3 });
  });
}

Deno.test("any text with mistakes in it gives problems with positions in it, never an exception", () => {
  const pieces = fc.constantFrom(
    ..."when:|then:|if: |!x|*/5|&a |*a|- |  |\n|\t|{ |} |[|]|${{ x }}|: |#|# c|\"|'|| |>|%|@|---|? |<<: |017|é|😀|,|a|\\|\r\n"
      .split("|"),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 25 }), (parts) => {
      const text = parts.join("");
      const { value, problems, origin } = parseYaml(text, "a.yaml");
      for (const { at } of problems) {
        assert.ok(at.line >= 1 && at.line <= text.split("\n").length && at.column >= 1);
      }
      for (const problem of problems) formatProblem(problem);
      if (value === undefined) assert.ok(problems.length > 0);
      origin.at(["when", 0, "x"], "key");
      origin.within(["if"], 1, 2);
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("the time for a map grows with its keys, not with their square", () => {
  const millisecondsFor = (keys: number) => {
    const text = Array.from({ length: keys }, (_, index) => `key${index}: ${index}\n`).join("");
    const times = Array.from({ length: 3 }, () => {
      const begin = performance.now();
      assert.equal(Object.keys(parseYaml(text, "a.yaml").value as object).length, keys);
      return performance.now() - begin;
    });
    return Math.min(...times);
  };
  const [few, many] = [millisecondsFor(2_500), millisecondsFor(40_000)];
  assert.ok(many < 80 * few, `16 times as many keys take ${Math.round(many / few)} times as long`);
});

Deno.test("any scalar in any style has correct positions of its characters", () => {
  const word = fc.string({ unit: fc.constantFrom(..."ab'\"\\é😀{}"), minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), fc.constantFrom("'", '"', "|", ">"), (words, style) => {
      const text = `key: ${write(words, style)}\n`;
      const { value, origin } = parseYaml(text, "a.yaml");
      const scalar = (value as { key: string }).key;
      for (let offset = 0; offset < scalar.length; offset++) {
        const at = origin.within(["key"], offset, 1);
        const found = text.split("\n")[at.line - 1][at.column - 1];
        if (scalar[offset] === " " || scalar[offset] === "\n") continue;
        assert.ok(
          found === scalar[offset] || (style === '"' && found === "\\"),
          `${JSON.stringify(text)} at ${offset}`,
        );
      }
    }),
    { numRuns: 500 },
  );
});

function write(words: string[], style: string): string {
  if (style === "'") return `'${words.join(" ").replaceAll("'", "''")}'`;
  if (style === '"') return JSON.stringify(words.join("\n"));
  return `${style}\n${words.map((word) => `  ${word}`).join("\n")}`;
}
