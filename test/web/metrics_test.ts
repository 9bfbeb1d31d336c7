import assert from "node:assert/strict";
import { buildFacts, Metrics, MOST_RULES } from "../../runtime/web/metrics.ts";
import { type Bench, NOW, onEvent, openBench, rule } from "./harness.ts";
import { member } from "./members.ts";

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

interface Family {
  name: string;
  type: string;
  help: string;
  samples: Sample[];
}

const UNESCAPED: Record<string, string> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

function readSample(line: string): Sample {
  const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  assert.ok(found, `no sample: ${line}`);
  const [, name, list = "", value] = found;
  const labels: Record<string, string> = {};
  const rest = list.replaceAll(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/g, (_, label, text) => {
    assert.ok(!Object.hasOwn(labels, label), `the label ${label} is there twice: ${line}`);
    labels[label] = text.replaceAll(/\\[\\n"]/g, (escape: string) => UNESCAPED[escape]);
    return "";
  });
  assert.equal(rest, "", `labels are not escaped as they must be: ${line}`);
  return { name, labels, value: value === "+Inf" ? Infinity : Number(value) };
}

/** Reads the text format, version 0.0.4. */
function parse(text: string): Family[] {
  assert.ok(text.endsWith("\n"), "the last line must end with a line feed");
  const families: Family[] = [];
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const [, comment, name, rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (comment === "HELP") families.push({ name, help: rest, type: "", samples: [] });
    const family = families.at(-1)!;
    if (comment !== undefined) {
      assert.equal(family.name, name, line);
      if (comment === "TYPE") family.type = rest;
    } else {
      const sample = readSample(line);
      const suffix = family.type === "histogram" ? /_(bucket|sum|count)$/ : /$/;
      assert.equal(sample.name.replace(suffix, ""), family.name, `${line} is not below its TYPE`);
      assert.ok(!Number.isNaN(sample.value), line);
      family.samples.push(sample);
    }
  }
  return families;
}

/** What `promtool check metrics` refuses, by prometheus/client_golang/prometheus/testutil/promlint/validations. */
const ABBREVIATED = "s ms us ns sec b kb mb gb tb pb m h d".split(" ");
const BASE_UNITS = "amperes bytes celsius grams joules kelvin meters metres moles seconds volts".split(" ");
const PREFIXES = "pico nano micro milli centi deci deca hecto kilo kibi mega mibi giga gibi tera tebi peta pebi".split(
  " ",
);
const OTHER_UNITS = [
  "minutes",
  "hours",
  "days",
  "weeks",
  "kelvins",
  "fahrenheit",
  "rankine",
  "inches",
  "yards",
  "miles",
  "bits",
  "calories",
  "pounds",
  "ounces",
];
const WRONG_UNITS = new Set([...OTHER_UNITS, ...PREFIXES.flatMap((prefix) => BASE_UNITS.map((unit) => prefix + unit))]);

function lint({ name, type, help, samples }: Family): string[] {
  const words = name.split("_");
  const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
  const problems: [boolean, string][] = [
    [help === "", "no help text"],
    [!["counter", "gauge", "histogram"].includes(type), `unknown type "${type}"`],
    [type === "counter" && !name.endsWith("_total"), 'counter metrics should have "_total" suffix'],
    [type !== "counter" && name.endsWith("_total"), 'non-counter metrics should not have "_total" suffix'],
    [/_(count|sum|bucket|info_total)$/.test(name), "a suffix that is reserved for histograms and summaries"],
    [type !== "histogram" && labels.has("le"), 'non-histogram metrics should not have "le" label'],
    [labels.has("quantile"), 'non-summary metrics should not have "quantile" label'],
    [/_(counter|gauge|histogram|summary)(_|$)/.test(name), "metric name should not include its type"],
    [name.includes(":"), "metric names should not contain ':'"],
    [/[a-z][A-Z]/.test([name, ...labels].join(" ")), "names should be written in snake_case"],
    [words.some((word) => ABBREVIATED.includes(word)), "metric names should not contain abbreviated units"],
    [words.some((word) => WRONG_UNITS.has(word)), "use base units"],
    [
      BASE_UNITS.some((unit) => words.slice(0, -2).includes(unit)),
      "the unit should be the last word, or before _total",
    ],
  ];
  return problems.filter(([isWrong]) => isWrong).map(([, problem]) => `${name}: ${problem}`);
}

async function scrape(bench: Bench): Promise<Family[]> {
  return parse((await bench.ask("GET", "/metrics")).body);
}

function samplesOf(families: Family[], name: string): Sample[] {
  const family = families.find((each) => each.name === name);
  assert.ok(family, `${name} is missing`);
  return family.samples;
}

const ODD = 'a "quoted"\\id\nof two lines';

async function busyBench(): Promise<Bench> {
  const replicas = { me: "replica1", list: () => Promise.resolve([member(1, { decides: true })]) };
  const bench = await openBench([rule("a", [onEvent("t")]), rule(ODD, [onEvent("t")])], { replicas });
  await bench.post("/api/emit", { type: "t" });
  const { metrics } = bench.context;
  metrics.observeStep("a", "http", "succeeded", 80);
  metrics.observeStep(ODD, "http", "succeeded", 80);
  metrics.countPollFailure(ODD, "poll x");
  metrics.countReload();
  return bench;
}

Deno.test("/metrics: names, help, types, units and labels are as `promtool check metrics` wants them", async () => {
  await using bench = await busyBench();
  const { body, headers } = await bench.ask("GET", "/metrics");
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const families = parse(body);
  assert.deepEqual(families.flatMap(lint), []);
  assert.deepEqual(families.map(({ name }) => name), [...new Set(families.map(({ name }) => name))]);
  for (const { name, samples } of families) {
    const keys = samples.map((sample) => JSON.stringify([sample.name, Object.entries(sample.labels).sort()]));
    assert.equal(new Set(keys).size, keys.length, `${name} has a series twice`);
  }
  assert.deepEqual(lint({ name: "fooMilliseconds_ms_count", type: "counter", help: "", samples: [] }).length, 5);
});

Deno.test("/metrics: buckets of histograms grow, and the last one is the count", async () => {
  await using bench = await busyBench();
  for (const { name, type, samples } of await scrape(bench)) {
    if (type !== "histogram") continue;
    const series = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
    assert.ok(series.size > 0, name);
    for (const [labels, of] of series) {
      const buckets = of.filter((sample) => sample.name.endsWith("_bucket"));
      assert.deepEqual(buckets, buckets.toSorted((a, b) => a.value - b.value), `${name} ${labels}`);
      const [count] = of.filter((sample) => sample.name.endsWith("_count"));
      assert.deepEqual([buckets.at(-1)!.labels.le, buckets.at(-1)!.value], ["+Inf", count.value]);
    }
  }
});

Deno.test("/metrics counts in the format of Prometheus; a rule's id may hold quotes, backslashes and line feeds", async () => {
  await using bench = await busyBench();
  const { body } = await bench.ask("GET", "/metrics");
  for (
    const line of [
      'whenthen_verdicts_total{rule="a",verdict="started"} 1',
      'whenthen_runs{state="queued"} 2',
      'whenthen_rules{state="loaded"} 2',
      'whenthen_poll_failures_total{rule="a \\"quoted\\"\\\\id\\nof two lines",trigger="poll x"} 1',
      'whenthen_step_duration_seconds_bucket{le="0.1",kind="http",state="succeeded"} 2',
      'whenthen_rule_step_duration_seconds_bucket{le="0.1",rule="a"} 1',
    ]
  ) assert.ok(body.includes(`${line}\n`), `${line} is missing in\n${body}`);
  assert.deepEqual(samplesOf(parse(body), "whenthen_poll_failures_total")[0].labels, { rule: ODD, trigger: "poll x" });
  const again = await bench.ask("GET", "/metrics");
  assert.ok(again.body.includes('whenthen_verdicts_total{rule="a",verdict="started"} 1'), "a scrape creates no series");
});

Deno.test("/metrics: runs by rule and state never count down, also when a failed run is retried; the last success has its time", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")]), rule("never", [])]);
  const { store, clock } = bench;
  const runs = async () => {
    const samples = samplesOf(await scrape(bench), "whenthen_runs_total").filter(({ labels }) => labels.rule === "a");
    return Object.fromEntries(samples.map(({ labels, value }) => [labels.state, value]));
  };
  const lastSuccess = async () => samplesOf(await scrape(bench), "whenthen_rule_last_success_timestamp_seconds");
  const { body: { runs: [run] } } = await bench.post("/api/emit", { type: "t" });
  assert.deepEqual(await runs(), { succeeded: 0, failed: 0, cancelled: 0 });
  const claim = async () => await store.claimRuns("test", 1, clock.now());
  await claim();
  await store.finishRun(run, { state: "failed", error: { name: "Error", message: "x" }, spent: 1 }, clock.now());
  assert.deepEqual(await runs(), { succeeded: 0, failed: 1, cancelled: 0 });
  assert.deepEqual(await lastSuccess(), []);
  assert.equal((await bench.post(`/api/runs/${run}/retry`, {})).status, 200);
  assert.deepEqual(await runs(), { succeeded: 0, failed: 1, cancelled: 0 }, "the retry does not take the failure back");
  await claim();
  await clock.advanceTo(NOW + 90_000);
  await store.finishRun(run, { state: "succeeded", spent: 1 }, clock.now());
  assert.deepEqual(await runs(), { succeeded: 1, failed: 1, cancelled: 0 });
  assert.deepEqual((await store.countRuns()).failed, 0, "the gauge has it once");
  const name = "whenthen_rule_last_success_timestamp_seconds";
  assert.deepEqual(await lastSuccess(), [{ name, labels: { rule: "a" }, value: NOW / 1_000 + 90 }]);
  let readings = 0;
  const counting = {
    countVerdicts: () => store.countVerdicts(),
    countRuns: () => store.countRuns(),
    countEnds: () => (readings++, store.countEnds()),
    stats: () => store.stats(),
  };
  const without = new Metrics({
    store: counting,
    build: buildFacts("1.2.3"),
    rules: () => ({ loaded: 1, broken: 0 }),
    isInForce: (rule) => rule !== "a",
    fleets: { list: () => [] },
    workers: () => 0,
  });
  for (const removed of ["a", "never"]) without.countPollFailure(removed, "poll x");
  without.countReload();
  const left = parse((await without.expose()).body);
  assert.equal(readings, 1);
  await without.expose();
  assert.equal(readings, 2);
  assert.deepEqual(samplesOf(left, "whenthen_verdicts_total"), []);
  const failing = samplesOf(left, "whenthen_poll_failures_total").map(({ labels }) => labels.rule);
  assert.deepEqual(failing, ["never"]);
  assert.deepEqual(samplesOf(left, name), [], "an alert on a rule that was removed would never end");
  const counted = samplesOf(left, "whenthen_runs_total").map(({ labels }) => labels.rule);
  assert.deepEqual(new Set(counted), new Set(["never"]));
});

Deno.test("/metrics: steps have series for so many rules only, and those of removed rules make room", async () => {
  await using bench = await openBench([rule("a", [])]);
  const { metrics } = bench.context;
  metrics.observeStep("a", "http", "succeeded", 1);
  for (let index = 0; index <= MOST_RULES; index++) metrics.observeStep(`removed ${index}`, "http", "succeeded", 1);
  const rules = async () => {
    const samples = samplesOf(await scrape(bench), "whenthen_rule_step_duration_seconds");
    return new Map(samples.filter(({ name }) => name.endsWith("_count")).map((each) => [each.labels.rule, each.value]));
  };
  const before = await rules();
  assert.deepEqual([before.size, before.get("a"), before.get("(other)")], [MOST_RULES + 1, 1, 2]);
  metrics.countReload();
  assert.deepEqual([...await rules()], [["a", 1], ["(other)", 2]]);
  metrics.observeStep("new", "http", "succeeded", 1);
  assert.equal((await rules()).get("new"), 1);
});

Deno.test("/metrics says which program it is, and what the process uses", async () => {
  await using bench = await openBench([]);
  const families = await scrape(bench);
  const [build] = samplesOf(families, "whenthen_build_info");
  assert.deepEqual([build.labels, build.value], [buildFacts("1.2.3"), 1]);
  assert.deepEqual(Object.keys(build.labels), ["version", "commit", "runtime", "runtime_version"]);
  const valueOf = (name: string) => samplesOf(families, name)[0].value;
  assert.ok(valueOf("process_cpu_seconds_total") > 0);
  assert.ok(valueOf("process_resident_memory_bytes") > 10_000_000);
  assert.ok(valueOf("whenthen_memory_bytes") > 10_000_000);
  const now = Date.now() / 1_000;
  assert.ok(valueOf("process_start_time_seconds") <= now && valueOf("process_start_time_seconds") > now - 86_400);
  if (Deno.build.os !== "linux") return;
  assert.ok(valueOf("process_open_fds") > 2 && valueOf("process_open_fds") < valueOf("process_max_fds"));
  assert.ok(valueOf("process_virtual_memory_bytes") > valueOf("process_resident_memory_bytes"));
});
