import { configure, reset } from "@logtape/logtape";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Event } from "../../runtime/model/event.ts";
import { isFinal, type Run } from "../../runtime/model/run.ts";
import { readSettings } from "../../runtime/telemetry/settings.ts";
import { Telemetry, type TelemetryOptions } from "../../runtime/telemetry/telemetry.ts";
import { type Bench, callStep, makeRule, makeStep, START, until, withBench } from "../engine/harness.ts";
import { onEvent, openBench, rule } from "../web/harness.ts";
import { WebServer } from "../e2e/web_server.ts";
import { Collector, type SentSpan } from "./collector.ts";

const HOUR = 3_600_000;
const OUTER = { trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331" };
const TRACEPARENT = `00-${OUTER.trace}-${OUTER.span}-01`;

/** The facts of a request to a webhook with these headers. */
function http(headers: Record<string, string>): Pick<Event, "http"> {
  return { http: { method: "POST", path: "/orders", params: {}, query: {}, headers } };
}

/** A bench whose ended runs go to a collector, as the environment says; the last spans are sent when `use` has returned. */
async function withTelemetry(
  env: Record<string, string>,
  use: (bench: Bench, telemetry: Telemetry) => Promise<void>,
): Promise<void> {
  let telemetry: Telemetry | undefined;
  await withBench(async (bench) => {
    const store: TelemetryOptions["store"] = { getRun: (id) => bench.store.getRun(id) };
    const mask = (text: string) => text.replaceAll("hunter2", "***");
    const metrics = { read: () => Promise.resolve([]) };
    telemetry = new Telemetry({ env, version: "1.2.3", clock: bench.clock, store, metrics, mask });
    await telemetry.start();
    try {
      await use(bench, telemetry);
    } finally {
      await telemetry.stop();
    }
  }, {
    onFinished: (run) => telemetry?.ended(run),
    traceHeaders: (step) => telemetry?.headersOf(step),
  });
}

function byPath(spans: SentSpan[]): Map<unknown, SentSpan> {
  return new Map(spans.map((span) => [span.attributes["whenthen.step.path"] ?? "", span]));
}

Deno.test("a run and its steps are spans below the sender's, each once, although it waited, crashed and was continued", async () => {
  await using collector = await Collector.start();
  const headers = { traceparent: TRACEPARENT, tracestate: "congo=t61" };
  let id = "";
  await withTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, async (bench) => {
    bench.functions = {
      flaky(_args, _signal, count) {
        if (count === 1) throw new Error("not yet, hunter2");
        return { secret: "hunter2" };
      },
      fine: () => null,
    };
    const lines = makeStep("lines", "each", { each: "[1, 2]" }, { children: { then: [callStep("save", "fine")] } });
    const rule = makeRule([
      callStep("first", "flaky", { retry: { attempts: 2, delay: 0, max: 0 } }),
      makeStep("check", "if", { if: "true" }, { children: { then: [lines], else: [] } }),
      makeStep("night", "wait", { wait: "20h" }),
      callStep("last", "fine", { if: "false" }),
    ]);
    id = await bench.send(rule, {}, { id: "order hunter2", ...http(headers) });
    await bench.reached(id, "night", "waiting");
    await bench.crash();
    await bench.finish();
    assert.equal((await bench.trace(id)).run.state, "succeeded");
  });
  const { spans } = collector;
  const found = byPath(spans);
  assert.equal(found.size, spans.length, "a span was sent twice");
  const paths = ["", "first", "check", "check/then/lines", "check/then/lines[0]/save", "check/then/lines[1]/save"];
  assert.deepEqual([...found.keys()].sort(), [...paths, "night", "last"].sort());
  assert.ok(spans.every(({ traceId, traceState }) => traceId === OUTER.trace && traceState === "congo=t61"));
  const parentOf = (path: string) => spans.find(({ spanId }) => spanId === found.get(path)?.parentSpanId);
  const run = found.get("")!;
  assert.equal(run.parentSpanId, OUTER.span);
  assert.equal(run.kind, 5);
  assert.equal(run.name, "ops/test");
  assert.equal(run.attributes["whenthen.run.id"], id);
  assert.equal(run.attributes["whenthen.run.state"], "succeeded");
  assert.equal(run.attributes["whenthen.event.id"], "order ***");
  for (const path of ["first", "check", "night", "last"]) assert.equal(parentOf(path), run, path);
  assert.equal(parentOf("check/then/lines"), found.get("check"));
  assert.equal(parentOf("check/then/lines[1]/save"), found.get("check/then/lines"));
  assert.equal(found.get("check/then/lines[1]/save")?.name, "check/then/lines[]/save");
  const night = found.get("night")!;
  assert.ok(night.end - night.start >= 20 * HOUR && run.end >= night.end && run.start === START);
  assert.equal(found.get("last")?.attributes["whenthen.step.state"], "skipped");
  const [attempt] = found.get("first")!.events;
  assert.deepEqual([attempt.name, attempt.attributes["error.message"]], ["attempt failed", "not yet, ***"]);
  assert.equal(found.get("first")?.attributes["whenthen.step.attempts"], 2);
  assert.ok(collector.requests("traces").every(({ body }) => !body.includes("hunter2")));
  assert.equal(run.resource["service.name"], "whenthen");
  assert.equal(run.resource["service.version"], "1.2.3");
});

Deno.test("the request of a step carries the span of the step, unless the rule sets a traceparent itself", async () => {
  await using collector = await Collector.start();
  await using shop = await WebServer.start((seen, response) => {
    response.writeHead(seen.path === "/no" ? 404 : 200).end("{}");
  });
  await withTelemetry({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces` }, async (bench) => {
    await mkdir(join(bench.folder, "ops"));
    const own = { traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` };
    const rule = makeRule([
      makeStep("tell", "http", { http: `POST ${shop.url}/orders/7?key=x`, json: {} }),
      makeStep("own", "http", { http: `${shop.url}/own`, headers: own }),
      makeStep("ask", "run", { run: ["sh", "-c", "printf '%s' \"$TRACEPARENT\""] }),
      makeStep("no", "http", { http: `${shop.url}/no` }),
    ]);
    const { steps } = await bench.run(rule);
    assert.deepEqual(shop.seen[1].headers.traceparent, own.traceparent);
    assert.match(JSON.stringify(steps.find(({ path }) => path === "ask")?.output), /00-[0-9a-f]{32}-[0-9a-f]{16}-01/);
  });
  const found = byPath(collector.spans);
  const tell = found.get("tell")!;
  assert.equal(shop.seen[0].headers.traceparent, `00-${tell.traceId}-${tell.spanId}-01`);
  assert.equal(tell.kind, 3);
  assert.equal(tell.attributes["http.request.method"], "POST");
  assert.equal(tell.attributes["server.address"], "127.0.0.1");
  assert.equal(tell.attributes["http.response.status_code"], 200);
  // Neither the path nor the query, which may identify somebody.
  assert.doesNotMatch(JSON.stringify([...found.values()]), /orders\/7|key=x/);
  const [no, run] = [found.get("no")!, found.get("")!];
  assert.deepEqual([no.status.code, no.attributes["http.response.status_code"]], [2, 404]);
  assert.deepEqual([run.status.code, run.parentSpanId, run.attributes["whenthen.run.state"]], [2, undefined, "failed"]);
  assert.match(run.status.message!, /404/);
  assert.equal(collector.requests("metrics").length, 0);
});

Deno.test("a run that an operator retried sends its own span and those of the steps that have ended since", async () => {
  await using collector = await Collector.start();
  await withTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, async (bench) => {
    let broken = true;
    bench.functions = {
      good: () => null,
      bad() {
        if (broken) throw new Error("boom");
        return null;
      },
    };
    const failed = await bench.run(makeRule([callStep("a", "good"), callStep("b", "bad")]));
    await bench.clock.advanceTo(bench.clock.now() + HOUR);
    broken = false;
    await bench.store.retryRun(failed.run.id, "anna", bench.clock.now());
    bench.runner.wake();
    await bench.finish();
  });
  const sent = collector.spans.map(({ attributes, status }) =>
    `${attributes["whenthen.step.path"] ?? "run"} ${status.code}`
  );
  assert.deepEqual(sent, ["run 2", "a 0", "b 2", "run 0", "b 0"]);
});

Deno.test("a trace that the sender does not record is not sent, and passed on as such", async () => {
  await using collector = await Collector.start();
  await withTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, async (bench, telemetry) => {
    bench.functions.fine = () => null;
    const headers = { traceparent: TRACEPARENT.replace(/01$/, "00") };
    const id = await bench.send(makeRule([callStep("a", "fine")]), {}, http(headers));
    await bench.finish();
    const { run } = await bench.trace(id);
    assert.match(
      telemetry.headersOf({ run, step: "a" })!.traceparent,
      new RegExp(`^00-${OUTER.trace}-[0-9a-f]{16}-00$`),
    );
    await bench.run(makeRule([callStep("b", "fine")]));
  });
  assert.deepEqual([...byPath(collector.spans).keys()], ["", "b"]);
});

Deno.test("a run with more spans than the queue holds loses none", async () => {
  await using collector = await Collector.start();
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_MAX_QUEUE_SIZE: "16" };
  await withTelemetry(env, async (bench) => {
    bench.functions.fine = () => null;
    const items = Array.from({ length: 100 }, (_, index) => index);
    const step = makeStep("lines", "each", { each: "event.data", max: 10 }, {
      children: { then: [callStep("save", "fine")] },
    });
    await bench.run(makeRule([step]), items);
  });
  assert.equal(byPath(collector.spans).size, 102);
});

/** The lines of the log meanwhile. */
async function logged(work: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  await configure({
    reset: true,
    sinks: { lines: ({ level, message }) => void lines.push(`${level}: ${message.join("")}`) },
    loggers: [
      { category: ["whenthen"], sinks: ["lines"], lowestLevel: "info" },
      { category: ["logtape", "meta"], sinks: [], lowestLevel: "error" },
    ],
  });
  await work();
  await reset();
  return lines;
}

Deno.test("a collector that refuses is one warning, and one line when it works again", async () => {
  await using collector = await Collector.start();
  collector.server.answer((_, response, count) => response.writeHead(count <= 2 ? 400 : 200).end("{}"));
  const lines = await logged(() =>
    withTelemetry({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url.replace("//", "//anna:geheim@")}/v1/traces`,
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1",
    }, async (bench) => {
      bench.functions.fine = () => null;
      await bench.run(makeRule([callStep("a", "fine"), callStep("b", "fine"), callStep("c", "fine")]));
    })
  );
  assert.deepEqual(lines, [
    `warning: Cannot send traces to ${collector.url}/v1/traces: Bad Request; they are lost until it works again`,
    `info: Can send traces to ${collector.url}/v1/traces again`,
  ]);
});

Deno.test("a collector that does not answer delays the end of the program for 5 s at most", async () => {
  await using collector = await Collector.start();
  let stopped = false;
  collector.server.answer(() => {});
  const lines = await logged(() =>
    withBench(async (bench) => {
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
      const metrics = { read: () => Promise.resolve([]) };
      const telemetry = new Telemetry({
        ...{ env, version: "1", clock: bench.clock, metrics, mask: (text) => text },
        store: { getRun: (id) => bench.store.getRun(id) },
      });
      await telemetry.start();
      bench.functions.fine = () => null;
      const { run } = await bench.run(makeRule([callStep("a", "fine")]));
      telemetry.ended(run);
      const stopping = telemetry.stop().then(() => stopped = true);
      await until(() => collector.requests("traces").length === 1);
      assert.equal(stopped, false);
      await bench.clock.advanceTo(bench.clock.now() + 5_000);
      await stopping;
      // Nothing is sent any more, and nothing fails.
      telemetry.ended(run);
      assert.equal(telemetry.headersOf({ run, step: "a" }), undefined);
    })
  );
  assert.match(lines.join("\n"), /^warning: The last traces and metrics could not be sent within 5 s/);
});

Deno.test("without an endpoint nothing is sent and no request carries a traceparent", async () => {
  await using shop = await WebServer.start();
  await withTelemetry({}, async (bench) => {
    const { run } = await bench.run(makeRule([makeStep("tell", "http", { http: shop.url })]));
    assert.ok(isFinal(run.state));
  });
  assert.equal(shop.seen[0].headers.traceparent, undefined);
});

Deno.test("metrics are the numbers of /metrics", async () => {
  await using collector = await Collector.start();
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  await bench.post("/api/emit", { type: "t" });
  const { metrics } = bench.context;
  const telemetry = new Telemetry({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, OTEL_TRACES_EXPORTER: "none" },
    version: "1.2.3",
    clock: bench.clock,
    store: bench.store,
    metrics,
    mask: (text) => text.replaceAll("hunter2", "***"),
  });
  await telemetry.start();
  assert.equal(telemetry.headersOf({ run: { id: "r" } as Run, step: "a" }), undefined);
  metrics.countReload();
  metrics.countPollFailure("shop", "poll hunter2");
  for (const ms of [3, 20, 20, 700_000]) metrics.observeStep("shop", "http", "succeeded", ms);
  const { body } = await metrics.expose();
  await telemetry.stop();
  const { points } = collector;
  const families = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({ name, type }));
  const types = { counter: "sum", gauge: "gauge", histogram: "histogram" };
  const sampled = families.filter(({ name }) => new RegExp(`^${name}(_bucket)?[{ ]`, "m").test(body));
  assert.ok(sampled.length > 10);
  for (const { name, type } of sampled) {
    assert.equal(points.find(({ metric }) => metric === name)?.type, types[type as keyof typeof types], name);
  }
  const pointsOf = (name: string) => points.filter(({ metric }) => metric === name);
  assert.equal(pointsOf("whenthen_reloads_total")[0].value, 1);
  assert.equal(pointsOf("whenthen_reloads_total")[0].start, bench.clock.now());
  for (const name of ["whenthen_runs_total", "whenthen_verdicts_total"]) {
    assert.equal(pointsOf(name)[0].start, 0, `${name} is counted across restarts: when it began is not known`);
  }
  assert.deepEqual(pointsOf("whenthen_poll_failures_total")[0].attributes, { rule: "shop", trigger: "poll ***" });
  const [steps] = pointsOf("whenthen_step_duration_seconds");
  assert.deepEqual(steps.attributes, { kind: "http", state: "succeeded" });
  assert.equal(steps.unit, "s");
  assert.deepEqual(steps.explicitBounds, [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600]);
  assert.deepEqual(steps.bucketCounts, [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.equal(steps.count, 4);
  assert.ok(Math.abs(steps.sum! - 700.043) < 1e-6);
});

Deno.test("the standard variables say what is sent and where; a wrong value is told", () => {
  const base = "http://127.0.0.1:4318";
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: base };
  const cases: [
    env: Record<string, string>,
    traces: string | undefined,
    metrics: string | undefined,
    problem?: RegExp,
  ][] = [
    [{}, undefined, undefined],
    [{ OTEL_SERVICE_NAME: "shop" }, undefined, undefined],
    [on, `${base}/v1/traces`, `${base}/v1/metrics`],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: `${base}/otlp/` }, `${base}/otlp/v1/traces`, `${base}/otlp/v1/metrics`],
    [{ ...on, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://t.example/x" }, "https://t.example/x", `${base}/v1/metrics`],
    [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "https://m.example/x" }, undefined, "https://m.example/x"],
    [{ ...on, OTEL_SDK_DISABLED: "true" }, undefined, undefined],
    [{ ...on, OTEL_SDK_DISABLED: "false" }, `${base}/v1/traces`, `${base}/v1/metrics`],
    [{ ...on, OTEL_METRICS_EXPORTER: "none" }, `${base}/v1/traces`, undefined],
    [
      { ...on, OTEL_TRACES_EXPORTER: "console" },
      undefined,
      `${base}/v1/metrics`,
      /"console": expected "otlp" or "none"/,
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318" },
      undefined,
      undefined,
      /"localhost:4318": expected a URL such as/,
    ],
    [{ ...on, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, `${base}/v1/traces`, `${base}/v1/metrics`, /only JSON over HTTP/],
    [{ ...on, OTEL_TRACES_SAMPLER: "some" }, `${base}/v1/traces`, `${base}/v1/metrics`, /expected one of always_on/],
    [{ ...on, OTEL_TRACES_SAMPLER_ARG: "2" }, `${base}/v1/traces`, `${base}/v1/metrics`, /a number from 0 to 1/],
    [{ ...on, OTEL_BSP_SCHEDULE_DELAY: "5s" }, `${base}/v1/traces`, `${base}/v1/metrics`, /so it is 5000/],
  ];
  const transport: [env: Record<string, string>, problem?: RegExp][] = [
    [{ OTEL_EXPORTER_OTLP_CERTIFICATE: "/nope" }, /^OTEL_EXPORTER_OTLP_CERTIFICATE is "\/nope", which cannot be read/],
    [{ OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY: "/nope" }, /^OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY is "\/nope"/],
    [{ OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: import.meta.filename! }],
    [{ OTEL_EXPORTER_OTLP_COMPRESSION: "zip" }, /"zip": expected "gzip" or "none", so it is ignored$/],
    [{ OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: "gzip" }],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: "abc" }, /"abc": expected a number of milliseconds above 0, so it is ignored$/],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: "0" }, /"0": expected a number/],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: "1500.5" }],
    [{ OTEL_EXPORTER_OTLP_HEADERS: "a=b,geheim" }, /^Header 2 of OTEL_EXPORTER_OTLP_HEADERS is not name=value/],
    [{ OTEL_EXPORTER_OTLP_TRACES_HEADERS: "api-key:geheim" }, /^Header 1 of OTEL_EXPORTER_OTLP_TRACES_HEADERS is/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: "a=%zz" }, /^Header 1 of/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: "authorization=Basic%20YTpi, x-scope = a==," }],
  ];
  for (const [env, problem] of transport) {
    const problems = readSettings({ ...on, ...env })!.problems;
    assert.equal(problems.length, problem === undefined ? 0 : 1, problems.join("\n"));
    if (problem !== undefined) assert.match(problems[0], problem);
    assert.doesNotMatch(problems.join(), /geheim/, "headers are secrets");
  }
  for (const [env, traces, metrics, problem] of cases) {
    const settings = readSettings(env);
    const shown = JSON.stringify(env);
    assert.deepEqual([settings?.traces, settings?.metrics], [traces, metrics], shown);
    if (problem === undefined) assert.deepEqual(settings?.problems ?? [], [], shown);
    else assert.match(settings!.problems.join("\n"), problem, shown);
  }
  const { sampler, batches, interval, timeout } = readSettings({
    ...on,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.25",
    OTEL_BSP_MAX_QUEUE_SIZE: "100",
    OTEL_METRIC_EXPORT_INTERVAL: "10000",
  })!;
  assert.deepEqual(sampler, { name: "parentbased_traceidratio", ratio: 0.25 });
  assert.deepEqual(batches, { delay: 5_000, queue: 100, size: 100, timeout: 30_000 });
  assert.deepEqual([interval, timeout], [10_000, 10_000]);
});
