import assert from "node:assert/strict";
import { Collector } from "../telemetry/collector.ts";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const OUTER = { trace: "4bf92f3577b34da6a3ce929d0e0e4736", span: "00f067aa0ba902b7" };

Deno.test("OpenTelemetry: from the sender of a webhook over a kill to requests, code and emitted events; metrics", async () => {
  await using collector = await Collector.start();
  await using shop = await WebServer.start();
  await using folder = await rulesFolder({
    "order.yaml": `
when: { webhook: /order, auth: none }
then:
  - http: POST ${shop.url}/before
  - { id: paid, waitFor: paid, timeout: 1h }
  - { id: code, call: ./lib.ts#fetchStock }
  - emit: order.done
  - { id: broken, http: "${shop.url}/secret?token=\${{ secrets.TOKEN }}", retry: 1 }
`,
    "done.yaml": `when: { event: order.done }\nthen:\n  - http: ${shop.url}/done\n`,
    "sent.yaml": "when: { event: sent }\nthen:\n  - log: seen\n",
    "lib.ts": `import { action } from "whenthen";
export const fetchStock = action({ run: async ({ http }) => (await http("${shop.url}/code")).status });\n`,
    ".env": "TOKEN=hunter2-hunter2\n",
  });
  shop.answer((seen, response) => {
    response.writeHead(seen.path.startsWith("/secret") ? 400 : 200, { "content-type": "text/plain" });
    response.end(seen.path.startsWith("/secret") ? "hunter2-hunter2 is wrong" : "fine");
  });
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=k1",
    OTEL_SERVICE_NAME: "orders",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_METRIC_EXPORT_INTERVAL: "500",
  };
  {
    await using program = start(folder.rules, { data: folder.data, env });
    const headers = { traceparent: `00-${OUTER.trace}-${OUTER.span}-01` };
    assert.equal((await program.post("/hooks/order", {}, headers)).status, 202);
    await until("the run to wait", () => program.api("runs"), (runs) => runs[0]?.waits?.[0]?.step === "paid");
    await program.kill();
  }
  assert.equal(collector.requests("traces").length, 0);
  await using program = start(folder.rules, { data: folder.data, env });
  assert.equal((await program.post("/events", { type: "paid", data: {} })).status, 202);
  const second = { traceparent: `00-${OUTER.trace}-${"5".repeat(16)}-01` };
  assert.equal((await program.post("/events", { type: "sent", data: {} }, second)).status, 202);
  const look = () => Promise.resolve({ spans: collector.spans.length, failed: failuresIn(collector) });
  await until("spans and metrics", look, ({ spans, failed }) => spans >= 10 && failed === 1);
  assert.equal(await program.stop(), 0);

  const { spans } = collector;
  assert.ok(spans.every(({ traceId }) => traceId === OUTER.trace), JSON.stringify(spans, null, 2));
  const find = (rule: string, step: string) =>
    spans.find(({ attributes }) =>
      attributes["whenthen.rule"] === rule && (attributes["whenthen.step.path"] ?? "") === step
    )!;
  const named = ["http", "paid", "code", "emit", "broken"].map((step) => [step, find("order", step)] as const);
  const order = find("order", "");
  assert.equal(order.parentSpanId, OUTER.span);
  for (const [step, span] of named) assert.equal(span?.parentSpanId, order.spanId, step);
  const done = find("done", "");
  assert.equal(done.parentSpanId, find("order", "emit").spanId);
  assert.equal(find("sent", "").parentSpanId, "5".repeat(16));
  assert.equal(spans.length, 10, "each span is sent once, although the program was killed between them");

  const sentTo = (path: string) => shop.seen.find((seen) => seen.path.startsWith(path))?.headers.traceparent;
  assert.equal(sentTo("/before"), `00-${OUTER.trace}-${find("order", "http").spanId}-01`);
  assert.equal(sentTo("/code"), `00-${OUTER.trace}-${find("order", "code").spanId}-01`);
  assert.equal(sentTo("/done"), `00-${OUTER.trace}-${find("done", "http").spanId}-01`);

  const broken = find("order", "broken");
  assert.match(broken.status.message!, /answered 400.*\*\*\* is wrong/);
  assert.deepEqual([order.status.code, broken.status.code, done.status.code ?? 0], [2, 2, 0]);
  assert.doesNotMatch(JSON.stringify(collector.server.seen), /hunter2/);
  assert.equal(order.resource["service.name"], "orders");
  assert.equal(order.resource["deployment.environment.name"], "test");
  assert.ok(collector.server.seen.every(({ headers }) => headers["x-api-key"] === "k1"));
});

/** Failed runs of the rule `order` by the last metrics. */
function failuresIn({ points }: Collector): number | undefined {
  return points.find(({ metric, attributes: { rule, state } }) =>
    metric === "whenthen_runs_total" && rule === "order" && state === "failed"
  )?.value;
}
