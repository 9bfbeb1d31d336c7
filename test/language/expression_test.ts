import fc from "fast-check";
import assert from "node:assert/strict";
import { writeExactJson as show } from "../../runtime/formats/exact_json.ts";
import { decide } from "../../runtime/ingest/decide_verdict.ts";
import { compile, evaluate, ExpressionError, withState } from "../../runtime/language/expressions/expression.ts";
import { LruCache } from "../../runtime/language/expressions/lru_cache.ts";
import { BudgetError, Meters } from "../../runtime/language/expressions/meter.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import { keyItems } from "../../runtime/triggers/poll/poll_changes.ts";

const scope = {
  $now: Date.UTC(2027, 0, 31, 8),
  event: {
    data: {
      n: 5,
      text: "Abc",
      list: [1, 2, 3],
      items: [{ sku: "a", price: 1 }, { sku: "b", price: 2.5 }],
      nothing: null,
      when: "2026-11-21T07:00:00Z",
    },
    http: { headers: { "x-other": "1" }, leftOut: ["cookie"] },
  },
  config: { threshold: 85 },
};

const gives: [string, unknown][] = [
  ["event.data.n + 1", 6],
  ["1 + event.data.n", 6],
  ["event.data.n / 2", 2.5],
  ["7 / 2", 3],
  ["event.data.n % 2 == 1", true],
  ["event.data.n * 2.0 == 10", true],
  ["event.data.n in [1, 5]", true],
  ["event.data.list == [1, 2, 3]", true],
  ["size(event.data.list) * 1.5", 4.5],
  ["event.data.list[event.data.n - 4]", 2],
  ["event.data.items.map(i, i.price)", [1, 2.5]],
  ["event.data.items.exists(i, i.price > 2)", true],
  ["{'a': 1, 'b': 'x'}", { a: 1, b: "x" }],
  ["9007199254740991", 9007199254740991],
  ["event.data.n > 1 ? 'many' : null", "many"],
  ["has(event.data.n) && !has(event.data.m)", true],
  // default
  ["default(event.data.n, 0)", 5],
  ["default(event.data.missing, 0)", 0],
  ["default(event.data.missing.deep.deeper, 'x')", "x"],
  ["default(event.data.nothing, 1)", 1],
  ["default(event.data.nothing.deep, 1)", 1],
  ["default(event.data.list[9].x, 1)", 1],
  ["default(event.data.text.x, 1)", 1],
  ["default(nowhere.x, 1)", 1],
  ["default(event.data.missing, event.data.n) + 1", 6],
  // sum, number, sort, unique
  ["sum(event.data.list)", 6],
  ["event.data.items.map(i, i.price).sum()", 3.5],
  ["sum([])", 0],
  ["number('1.5') + number(1) + number(true)", 3.5],
  ["sort([3, 1, 2])", [1, 2, 3]],
  ["['b', 'a'].sort()", ["a", "b"]],
  ["unique([1, 1.0, 2, {'a': 1}, {'a': 1}])", [1, 2, { a: 1 }]],
  // text
  ["replace('a.b.c', '.', '$&')", "a$&b$&c"],
  ["event.data.text.lower() + upper('x') + trim(' y ')", "abcXy"],
  ["'a,b'.split(',')", ["a", "b"]],
  ["split('a,b', ',').join('-')", "a-b"],
  ["[1, 'a', true].join(' ')", "1 a true"],
  ["json({'a': [1, 2.5]})", '{"a":[1,2.5]}'],
  ["fromJson('{\"a\": 1}').a + 1", 2],
  ["hash('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["hash({'a': 1, 'b': 2}) == hash({'b': 2, 'a': 1})", true],
  ["event.data.text.matches('^A.c$') && matches('x1', '[0-9]')", true],
  ["capture('issue #42, #43', '#([0-9]+)')", "42"],
  ["'2027-01-31'.capture('([0-9]+)-([0-9]+)')", ["2027", "01"]],
  ["capture('v1.2', 'v(?P<major>[0-9]+)[.](?P<minor>[0-9]+)').minor", "2"],
  ["capture('ab12', '[0-9]+')", "12"],
  ["capture('b', '(a)|b')", null],
  ["default(capture('x', '[0-9]+'), 'none')", "none"],
  ["base64('Grüße ✓')", "R3LDvMOfZSDinJM="],
  ["fromBase64(base64('Grüße ✓')) == 'Grüße ✓'", true],
  ["fromBase64('eyJzdWIiOiI_In0')", '{"sub":"?"}'],
  ["urlEncode('a+b/c== ü')", "a%2Bb%2Fc%3D%3D%20%C3%BC"],
  ["'?page=' + urlEncode(event.data.n)", "?page=5"],
  // numbers
  ["10 / 4", 2],
  ["event.data.n / 2", 2.5],
  ["double(10) / 4", 2.5],
  ["div(10, 4)", 2],
  ["div(event.data.n, 2)", 2],
  ["div(-7.5, 2)", -3],
  ["div(9007199254740993, 1) == 9007199254740993", true],
  ["round(2.5)", 3],
  ["round(-2.5)", -3],
  ["round(1.005, 2)", 1.01],
  ["round(event.data.n / 3, 1)", 1.7],
  ["round(event.data.n)", 5],
  ["[floor(-1.5), ceil(-1.5), floor(2), abs(-2.5), abs(-3), (-0.5).ceil()]", [-2, -1, 2, 2.5, 3, 0]],
  ["round(0.1 + 0.2, 15)", 0.3],
  // time
  ["time(1767225600)", "2026-01-01T00:00:00.000Z"],
  ["time(1767225600500)", "2026-01-01T00:00:00.500Z"],
  ["time(1767225600.25)", "2026-01-01T00:00:00.250Z"],
  ["time('Thu, 01 Jan 2026 01:00:00 +0100') == timestamp('2026-01-01T00:00:00Z')", true],
  ["time('2026-07-01 09:00', 'Europe/Berlin')", "2026-07-01T07:00:00.000Z"],
  ["time('2026-07-01', 'Europe/Berlin')", "2026-06-30T22:00:00.000Z"],
  ["time(event.data.when) > now() - duration('100d')", true],
  ["timestamp('2027-01-01')", "2027-01-01T00:00:00.000Z"],
  ["timestamp('2027-01-01T09:00+01:00')", "2027-01-01T08:00:00.000Z"],
  ["timestamp(0)", "1970-01-01T00:00:00.000Z"],
  ["now()", "2027-01-31T08:00:00.000Z"],
  ["now() - duration('1d')", "2027-01-30T08:00:00.000Z"],
  ["duration('1d12h') == duration('36h')", true],
  ["duration('90s')", "90s"],
  ["timestamp(event.data.when) < now()", true],
  ["date(now(), 'yyyy-MM-dd HH:mm')", "2027-01-31 08:00"],
  [
    "date(event.data.when, \"EEEE d MMMM yyyy 'at' h a XXX\", 'America/New_York')",
    "Saturday 21 November 2026 at 2 AM -05:00",
  ],
  ["date('2027-01-01', 'YYYY-MM-DD', 'Europe/Berlin')", "2027-01-01"],
  ["date(now(), \"Do MMM ''yy, RRRR-'W'II XXX\")", "31st Jan '27, 2027-W04 Z"],
  ["date(now(), \"yyyy-MM-dd'T'HH:mm:ss.SSSXXX\", '+05:30')", "2027-01-31T13:30:00.000+05:30"],
  ["date(time(1767225600), 'h:mm a', 'america/new_york')", "7:00 PM"],
];

for (const [text, expected] of gives) {
  Deno.test(`${text} gives ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(compile(text).problem, undefined);
    assert.deepEqual(evaluate(text, scope), expected);
  });
}

const fails: [string, RegExp, string?][] = [
  ["event.data.used", /event\.data has no key "used"/, "event.data.used"],
  ["event.data.new.used > 1", /event\.data has no key "new"/, "event.data.new.used"],
  ["event.data.nothing.x", /event\.data\.nothing is null, so it has no "x"/, "event.data.nothing.x"],
  ["event.data.text.x", /event\.data\.text is text/, "event.data.text.x"],
  ["event.data.list[7]", /event\.data\.list has 3 items, so there is no item 7/, "event.data.list[7]"],
  ["event.data['a-b']", /event\.data has no key "a-b"/, 'event.data["a-b"]'],
  ["event.http.headers['x-sig']", /headers has no key "x-sig"$/, 'event.http.headers["x-sig"]'],
  [
    "event.http.headers.cookie",
    /headers has no key "cookie": the header was sent, and the program left it out/,
    "event.http.headers.cookie",
  ],
  [
    "event.http.headers['Cookie']",
    /headers has no key "Cookie": the header was sent, and the program left it out/,
    "event.http.headers.Cookie",
  ],
  ["steps.x", /there is no steps here/, "steps.x"],
  ["event.data.text + event.data.n", /"\+" does not work between text and a number/],
  ["event.data.n && true", /true or false|bool/],
  ["1.0 / 0", /Infinity is not a value that JSON can represent/],
  ["1 / 0", /division by zero/],
  ["default(1 / 0, 5)", /division by zero/],
  ["sum(['a'])", /sum\(\) needs numbers, got "a"/],
  ["number('abc')", /number\(\) needs text that is a number, got "abc"/],
  ["number('')", /number\(\) needs/],
  ["sort([1, 'a'])", /sort\(\) needs/],
  ["fromJson('{')", /fromJson\(\) needs JSON/],
  ["matches('a', '(')", /cannot read the pattern/],
  ["duration('1y')", /duration\(\) needs text such as/],
  ["date(event.data.text, 'yyyy')", /date\(\) needs a time such as 2027-01-31T09:00:00Z, got "Abc"/],
  ["timestamp('2027-02-31')", /timestamp\(\) needs a time such as .*, got "2027-02-31"/],
  ["timestamp('2027-01-01T09:00:00')", /; for a time of a zone write time\("2027-01-01T09:00:00", "Europe\/Berlin"\)/],
  ["timestamp(1767225600500)", /time\(1767225600500\) takes milliseconds, too/],
  ["time('2027-01-01T09:00', 'Mars/Base')", /needs a time zone such as Europe\/Berlin, got "Mars\/Base"/],
  ["timestamp('2027-01-01T24:00:00Z')", /got "2027-01-01T24:00:00Z"$/],
  ["time('09:00', 'Europe/Berlin')", /time\(\) needs a time such as/],
  ["div(1, 0)", /div\(\) by zero/],
  ["round(1.5, 99)", /round\(\) needs a number of digits from 0 to 15, got 99/],
  ["abs('x')", /abs/],
  ["fromBase64('a')", /fromBase64\(\) needs the base64 of UTF-8 text, got "a"/],
  ["fromBase64('/w==')", /fromBase64\(\) needs the base64 of UTF-8 text/],
  ["fromBase64('a%2B')", /fromBase64\(\) needs/],
  ["capture('a', '(')", /capture\(\) cannot read the pattern/],
  ["date('x', 'yyyy')", /date\(\) needs a time/],
  ["date(now(), 'yyyy', 'Mars/Base')", /needs a time zone such as Europe\/Berlin/],
];

for (const [text, message, missing] of fails) {
  Deno.test(`${text} fails and says why`, () => {
    assert.throws(() => evaluate(text, scope), (error: ExpressionError) => {
      assert.ok(error instanceof ExpressionError);
      assert.match(error.message, message);
      assert.equal(error.missing, missing);
      return true;
    });
  });
}

const bad: [string, string, string | undefined, number][] = [
  ["event.data.x = 5", 'did not expect "=" here', "equality is written ==", 13],
  ["event.data.x and true", 'did not expect "and" here', "and is written &&", 13],
  ["1 +", "the expression ends too early", "is something missing at the end?", 3],
  ["", "the expression is empty", undefined, 0],
  ["event.data.x ?? 1", 'did not expect "?" here', "write default(x, y) for a value that may be absent", 14],
  [
    "date(now(), 'yyyy-MM-ddTHH:mm')",
    "date() cannot use the format \"yyyy-MM-ddTHH:mm\": unknown letter T: the T of ISO 8601 is text; text is written in single quotes, as 'T'",
    undefined,
    12,
  ],
  [
    "now().date('yyyy n')",
    "date() cannot use the format \"yyyy n\": unknown letter n; text is written in single quotes, as 'n'",
    undefined,
    11,
  ],
  [
    'date(now(), "d MMM \'yy")',
    "date() cannot use the format \"d MMM 'yy\": a quote has no end; write '' for the character itself",
    undefined,
    12,
  ],
  [
    "date(now(), 'dddd')",
    'date() cannot use the format "dddd": unknown letters dddd: the name of the day is EEEE, short EEE',
    undefined,
    12,
  ],
  ["lowr('a')", 'unknown function "lowr"', 'did you mean "lower"?', 0],
  ["event.data.in", 'did not expect "in" here', 'a word that means something to CEL is written x["in"]', 11],
];

for (const [text, message, hint, offset] of bad) {
  Deno.test(`${JSON.stringify(text)} is a problem at ${offset}: ${message}`, () => {
    const { problem } = compile(text);
    assert.deepEqual({ ...problem, length: 0 }, { message, ...(hint && { hint }), offset, length: 0 });
    assert.throws(() => evaluate(text, scope), ExpressionError);
  });
}

Deno.test("references are the free paths, without the variables of macros", () => {
  const text = "event.data['new'].used > config.t && steps.a.list.map(x, x.y + event.id)[0] == state['a' + inputs.x]";
  const paths = compile(text).references.map((
    { path, offset, length },
  ) => [path.join("."), text.slice(offset, offset + length)]);
  assert.deepEqual(paths, [
    ["event.data.new.used", "event.data['new'].used"],
    ["config.t", "config.t"],
    ["steps.a.list", "steps.a.list"],
    ["event.id", "event.id"],
    ["state", "state"],
    ["inputs.x", "inputs.x"],
  ]);
});

Deno.test("data with keys such as constructor and __proto__ is data like any other", () => {
  const data = JSON.parse('{"constructor": "Ferrari", "__proto__": {"x": 1}, "list": [{"constructor": null, "n": 2}]}');
  assert.equal(evaluate("data.constructor", { data }), "Ferrari");
  assert.equal(evaluate("data.list[0].n + 1", { data }), 3);
  assert.equal(evaluate("data['__proto__'].x", { data }), 1);
  assert.deepEqual(evaluate("data", { data }), data);
});

Deno.test("a pattern that backtracks for ever in other engines finishes", () => {
  assert.equal(evaluate("text.matches('^(a+)+$')", { text: `${"a".repeat(20_000)}!` }), false);
});

Deno.test("prototypes and host objects cannot be reached", () => {
  const names = ["constructor", "prototype", "__proto__", "toString", "valueOf", "hasOwnProperty", "length", "map"];
  const value = fc.jsonValue().filter((value) => typeof value === "object" && value !== null);
  fc.assert(fc.property(value, fc.constantFrom(...names), fc.constantFrom(...names), (value, a, b) => {
    for (
      const text of [
        a,
        `x.${a}`,
        `x["${a}"]`,
        `x.${a}.${b}`,
        `"t".${a}`,
        `(1).${a}`,
        `[1].${a}`,
        `x.${a}()`,
        `default(x.${a}, "absent")`,
      ]
    ) {
      let result: unknown;
      try {
        result = evaluate(text, { x: value });
      } catch (error) {
        assert.ok(error instanceof ExpressionError, `${text} threw ${error}`);
        continue;
      }
      const own = Object.hasOwn(value as object, a) || text.startsWith("default(");
      assert.ok(own, `${text} gave ${JSON.stringify(result)} of ${JSON.stringify(value)}`);
    }
  }));
});

Deno.test("any text and data give JSON or an ExpressionError", () => {
  const word = fc.constantFrom(
    "x",
    "x.a",
    "1",
    "2.5",
    "'t'",
    "null",
    "true",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "+",
    "==",
    "&&",
    "?",
    ":",
    ",",
    ".map(i, i)",
    "default(",
    "sum(",
    "json(",
    "now()",
    "duration('1d')",
    "!",
    "-",
    "in",
  );
  const text = fc.oneof(fc.string(), fc.array(word, { maxLength: 12 }).map((words) => words.join(" ")));
  fc.assert(
    fc.property(text, fc.jsonValue(), (text, x) => {
      compile(text);
      try {
        const result = evaluate(text, { x });
        assert.deepEqual(JSON.parse(JSON.stringify(result)), JSON.parse(JSON.stringify(result)));
      } catch (error) {
        assert.ok(error instanceof ExpressionError, `${JSON.stringify(text)} threw ${(error as Error).stack}`);
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a value that is only passed on is unchanged", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const json = JSON.parse(JSON.stringify(value));
    assert.deepEqual(evaluate("x.v", { x: { v: json } }), json);
  }));
});

const LARGE = {
  event: {
    data: { id: 9007199254740993n, next: 9007199254740994n, n: 12345678901234567890n, one: 1, half: 0.5, e: 1e21 },
  },
};

const exact: [string, unknown][] = [
  ["event.data.id", 9007199254740993n],
  ["event.data", LARGE.event.data],
  ["event.data.id == 9007199254740993", true],
  ["event.data.id == event.data.next", false],
  ["event.data.id < event.data.next && event.data.next < event.data.e", true],
  ["event.data.id in [9007199254740992]", false],
  ["event.data.id + 1", 9007199254740994n],
  ["event.data.id + event.data.one", 9007199254740994n],
  ["event.data.one - event.data.id", -9007199254740992n],
  ["event.data.id - event.data.next", -1],
  ["event.data.id * event.data.half", 4503599627370496.5],
  ["event.data.next / 2.0", 4503599627370497],
  ["event.data.id % 10", 3],
  ["9007199254740991 + event.data.one", 9007199254740992n],
  ["3000000000 * 3000000001", 9000000003000000000n],
  ["3000000000.0 * 3000000001", 9000000003000000000n],
  ["1 + 0.5 + 1.5", 3],
  ["event.data.one + event.data.one", 2],
  ["string(event.data.id) + '/' + string(event.data.n)", "9007199254740993/12345678901234567890"],
  ["string(event.data) == json(event.data) && string([1, 'x']) == '[1,\"x\"]'", true],
  ["json({'n': event.data.n})", '{"n":12345678901234567890}'],
  ["fromJson('[9007199254740993, 1]')", [9007199254740993n, 1]],
  ["number('9007199254740993')", 9007199254740993n],
  ["number(event.data.id)", 9007199254740993n],
  ["sum([event.data.id, 1, event.data.one])", 9007199254740995n],
  ["sum([event.data.id, 0.5])", 9007199254740992],
  ["sort([event.data.next, event.data.id, 1])", [1, 9007199254740993n, 9007199254740994n]],
  ["unique([event.data.id, event.data.id, event.data.next])", [9007199254740993n, 9007199254740994n]],
  ["hash(event.data.id) == hash('9007199254740993')", true],
  ["hash([event.data.id]) == hash([event.data.next])", false],
  ["[event.data.id].join('')", "9007199254740993"],
];

for (const [text, value] of exact) {
  Deno.test(`with whole numbers beyond 2^53, ${text} gives ${show(value)}`, () => {
    assert.deepEqual(evaluate(text, LARGE), value);
  });
}

Deno.test("a whole number beyond 64 bits is an error in arithmetic only", () => {
  const texts = ["event.data.n + 1", "event.data.n + event.data.one", "sum([event.data.n])", "9223372036854775807 + 1"];
  for (const text of texts) assert.throws(() => evaluate(text, LARGE), /integer overflow/, text);
  assert.throws(() => evaluate("fromJson('[1e400]')", LARGE), /1e400 at \[0\] is too large/);
});

const list = Array.from({ length: 20_000 }, (_, index) => index);

/** Fails in a few seconds, not in hours, with the reason. */
function refused(expression: string, data: unknown, why: RegExp): void {
  const event = { data };
  assert.throws(
    () => evaluate(expression, { event }),
    (error) => error instanceof ExpressionError && why.test(error.message),
  );
}

Deno.test("nested loops over long lists fail, even those that continue after errors", () => {
  const TIME = /takes longer than 2 s/;
  for (
    const loop of [
      "event.data.map(a, event.data.map(b, event.data.map(c, a + b + c)))",
      "event.data.all(a, event.data.all(b, event.data.all(c, a + b + c >= 0)))",
    ]
  ) refused(loop, list, TIME);
});

Deno.test("text that grows with each call fails before it is made", () => {
  const grow = '.replace("a", "aaaaaaaaaa")'.repeat(10);
  refused(`size(event.data${grow}) > 0`, "a".repeat(1_000), /a text of more than 16777216 characters/);
  refused(
    `event.data.map(x, event.data).join("")`,
    "x".repeat(1).split("").concat(list.map(String)),
    /longer|more than/,
  );
});

Deno.test("a small expression with an extremely large result fails", () => {
  refused("event.data.map(x, event.data)", list, /its result is larger than|takes longer than/);
});

Deno.test("one pass over much data is fine", () => {
  const items = Array.from({ length: 100_000 }, (_, id) => ({ id, text: "x".repeat(100) }));
  const some = evaluate("event.data.filter(item, item.id % 2 == 0)", { event: { data: items } });
  assert.equal((some as unknown[]).length, 50_000);
  assert.equal((evaluate("event.data.map(item, item.text).join()", { event: { data: items } }) as string).length, 1e7);
});

/** A clock on which each evaluation takes a set time. */
class Ticking {
  time = 0;
  takes = 0;
  #isEnd = false;

  /** An evaluation reads the clock when it begins and when it ends; a refused one reads it only once, and is followed by {@link pass}. */
  ticks(): number {
    if (this.#isEnd) this.time += this.takes;
    this.#isEnd = !this.#isEnd;
    return this.time;
  }

  pass(ms: number): void {
    this.#isEnd = false;
    this.time += ms;
  }
}

const at = { line: 1, column: 1 };
const event: Event = { id: "1", source: "/a", type: "a", time: "2026-11-21T00:00:00Z", data: { price: 5 } };
const trigger = { id: "event a", kind: "event", at, args: {} };
const rule = {
  id: "dear",
  enabled: true,
  version: "v1",
  triggers: [trigger],
  if: [{ text: "event.data.price > 3", at }],
  mode: "parallel",
  limit: null,
} as unknown as Rule;

function setUp(takes: number) {
  const clock = new Ticking();
  clock.takes = takes;
  const meters = new Meters(clock);
  meters.setRules(new Map([["dear", rule], ["other", rule]]));
  const ask = (id = "dear") => decide(event, { ...rule, id }, trigger, undefined, { event, $meter: meters.of(id) }, 0);
  return { clock, meters, ask };
}

Deno.test("a rule whose expressions took over 10 s of the last minute gets the verdict error with the reason; others continue", () => {
  const { clock, ask } = setUp(2_100);
  for (let count = 0; count < 5; count++) assert.equal(ask().kind, "admit");
  assert.deepEqual(ask(), {
    kind: "error",
    reason:
      "the expressions of the rule dear took 10.5 s of the last minute, and may take 10 s; they are evaluated again in " +
      '52 s; the longest evaluation took 2100 ms: "event.data.price > 3"',
  });
  clock.pass(0);
  assert.equal(ask("other").kind, "admit");
});

Deno.test("evaluations over a minute ago no longer count", () => {
  const { clock, ask } = setUp(2_100);
  for (let count = 0; count < 5; count++) ask();
  clock.pass(51_599);
  assert.equal(ask().kind, "error");
  clock.pass(1);
  clock.takes = 2_000;
  assert.equal(ask().kind, "admit");
  assert.equal(ask().kind, "error", "only the oldest of them is over a minute ago");
});

Deno.test("short evaluations are not counted, however many there are", () => {
  const { ask, meters } = setUp(4);
  for (let count = 0; count < 10_000; count++) assert.equal(ask().kind, "admit");
  assert.equal(meters.of("dear").longest, undefined);
});

Deno.test("the longest evaluation is kept until the rule changes, and so is the time spent", () => {
  const { clock, ask, meters } = setUp(10_001);
  ask();
  clock.takes = 200;
  evaluate("1 + 1", { $meter: meters.of("other") });
  assert.deepEqual(meters.of("dear").longest, { expression: "event.data.price > 3", ms: 10_001 });
  assert.deepEqual(meters.of("other").longest, { expression: "1 + 1", ms: 200 });
  meters.setRules(new Map([["dear", rule], ["other", rule]]));
  assert.equal(ask().kind, "error");
  clock.pass(0);
  meters.setRules(new Map([["dear", { ...rule, version: "v2" }], ["other", rule]]));
  assert.equal(meters.of("dear").longest, undefined);
  assert.equal(meters.of("other").longest?.ms, 200);
  assert.equal(ask().kind, "admit");
  const gone = meters.of("other");
  meters.setRules(new Map());
  assert.notEqual(meters.of("other"), gone);
});

Deno.test("a poll whose keys use up the budget fails: its items do not count as items without a key", async () => {
  const { meters } = setUp(6_000);
  const items = [{ id: 1 }, { id: 2 }, { id: 3 }];
  await assert.rejects(keyItems({ items }, { key: "item.id", ignore: [] }, meters.of("dear")), BudgetError);
});

function reader(stored: Record<string, number>) {
  const asked: string[][] = [];
  const read = (keys: string[]) => {
    asked.push(keys);
    return Promise.resolve(Object.fromEntries(Object.entries(stored).filter(([key]) => keys.includes(key))));
  };
  return { asked, read };
}

Deno.test("an expression without state reads nothing", async () => {
  const { asked, read } = reader({});
  assert.equal(await withState(read, (state) => evaluate("1 + 1", { state: state() })), 2);
  assert.deepEqual(asked, []);
});

Deno.test("computed keys are read when they appear, each once", async () => {
  const { asked, read } = reader({ "up/a": 1, "n1": 7 });
  const text = "state['n' + string(state['up/' + event.subject])] + state['up/a']";
  assert.equal(await withState(read, (state) => evaluate(text, { state: state(), event: { subject: "a" } })), 8);
  assert.deepEqual(asked, [["up/a"], ["n1"]]);
});

Deno.test("a missing key is absent", async () => {
  const { read } = reader({ a: 1 });
  assert.equal(await withState(read, (state) => evaluate("default(state['b'], 5) + state.a", { state: state() })), 6);
  assert.deepEqual(
    await withState(read, (state) => evaluate("['a' in state, 'b' in state, has(state.b)]", { state: state() })),
    [true, false, false],
  );
  await assert.rejects(withState(read, (state) => evaluate("state['b']", { state: state() })), /state has no key "b"/);
});

function counting() {
  const made: string[] = [];
  const recent = new LruCache((text: string) => {
    made.push(text);
    return { text };
  });
  return { made, get: (text: string) => recent.get(text), expect: (count: number) => recent.expect(count) };
}

Deno.test("entries in use stay, among any number that is used once", () => {
  const { made, get } = counting();
  for (let turn = 0; turn < 10_000; turn++) {
    assert.equal(get("used").text, "used");
    get(`once ${turn}`);
  }
  assert.equal(made.filter((text) => text === "used").length, 1);
});

Deno.test("the whole expected set stays, in any order of use", () => {
  const { made, get, expect } = counting();
  expect(10_000);
  for (let round = 0; round < 10; round++) {
    for (let rule = 0; rule < 10_000; rule++) get(`rule ${rule}`);
  }
  assert.equal(made.length, 10_000);
});

Deno.test("unused entries are evicted", () => {
  const { made, get } = counting();
  for (let turn = 0; turn < 5_000; turn++) get(`once ${turn}`);
  for (let turn = 0; turn < 4_000; turn++) get(`once ${turn}`);
  assert.equal(made.length, 9_000, "all were evicted");
});
