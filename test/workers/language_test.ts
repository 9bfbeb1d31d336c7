import fc from "fast-check";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Json } from "../../runtime/model/json.ts";
import {
  cron,
  event,
  poll,
  RetryAfterError,
  rule,
  type StandardSchema,
  TerminalError,
  type,
  watch,
  webhook,
} from "../../runtime/sdk/mod.ts";
import { plainJson } from "../../runtime/workers/plain_json.ts";

/** Fails to compile if the two types differ. */
function same<A>() {
  return <B>(_value: B & ([A] extends [B] ? [B] extends [A] ? unknown : never : never)) => {};
}

type Disk = { mount: string; used: number };
type Order = { id: string; amount: number };

const payment: StandardSchema<{ paid: boolean }> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as { paid: boolean } }) },
};

Deno.test("the example of the language reference compiles and is not thenable", async () => {
  const disk = rule({
    when: poll<Disk>({ run: "./disks.sh", every: "5m", key: "item.mount", on: ["changed"] }),
    config: { threshold: 85 },
    if: ({ event, config }) => event.data.old!.used <= config.threshold && event.data.new!.used > config.threshold,
    then: async ({ event, step }) => {
      await step.http("tell", "POST https://hooks.example.org/ops", {
        json: { text: `${event.subject} is full` },
        retry: 5,
      });
    },
  });
  assert.equal("then" in disk, false);
  assert.equal(await disk, disk);
});

Deno.test("a poll's options are beside its source", () => {
  const disks = poll({ every: "5m", stdin: "x", run: "./disks.sh", key: "item.mount", on: ["changed"] });
  assert.equal(
    JSON.stringify(disks.entry),
    '{"poll":{"run":"./disks.sh","stdin":"x"},"every":"5m","key":"item.mount","on":["changed"]}',
  );
  assert.deepEqual(plainJson(disks.entry, "the trigger"), {
    poll: { run: "./disks.sh", stdin: "x" },
    every: "5m",
    key: "item.mount",
    on: ["changed"],
  });
  assert.deepEqual(poll("https://example.org/x", { key: "item.id" }).entry, {
    poll: "https://example.org/x",
    key: "item.id",
  });
});

Deno.test("a union of triggers narrows by event.type", () => {
  rule({
    when: [
      event("order.created", type<Order>()),
      event("payment.received", payment),
      webhook("/gh", { auth: "github", secret: "GH" }, type<{ ref: string }>()),
      watch("./inbox/*.csv", { format: "lines" }),
      cron("0 9 * * *"),
    ],
    then: ({ event }) => {
      if (event.type === "order.created") same<Order>()(event.data);
      if (event.type === "payment.received") same<boolean>()(event.data.paid);
      if (event.type === "github.push") {
        same<string>()(event.data.ref);
        same<string>()(event.http.path);
      }
      // @ts-expect-error: a cron event may not have come by a request
      if (event.type === "cron") event.http.path;
      // @ts-expect-error: no trigger emits this type
      if (event.type === "order.deleted") return;
    },
  });
});

Deno.test("a pattern of event types keeps its prefix", () => {
  rule({
    when: event("order.*", type<Order>()),
    then: ({ event }) => {
      same<`order.${string}`>()(event.type);
      same<number>()(event.data.amount);
    },
  });
});

Deno.test("config is typed from what the rule declares", () => {
  rule({
    when: cron("0 9 * * *"),
    config: {
      threshold: 85,
      channel: "ops",
      loud: false,
      level: { type: "choice", choices: ["low", "high"], default: "low" },
      pause: { type: "duration", default: "5m" },
      note: { type: "text", required: false },
      people: { type: "list", default: [] },
    },
    then: ({ config }) => {
      same<number>()(config.threshold);
      same<string>()(config.channel);
      same<boolean>()(config.loud);
      same<"low" | "high">()(config.level);
      same<string>()(config.pause);
      same<string | undefined>()(config.note);
      // @ts-expect-error: not declared
      config.treshold;
    },
  });
});

Deno.test("the results of steps are typed", () => {
  rule({
    when: cron("0 9 * * *"),
    then: async ({ step, secrets, env }) => {
      const response = await step.http<{ items: Order[] }>("list", "GET https://example.org/");
      same<number>()(response.body.items[0].amount);
      same<number>()(response.status);
      const disks = await step.run<Disk[]>("disks", ["df", "--json"], { ok: [0, 1] });
      same<Disk[] | null>()(disks.json);
      same<number>()(await step.do("count", () => 3));
      same<string>()(await step.do("later", () => Promise.resolve("x")));
      same<null>()(await step.do("nothing", () => {}));
      same<number | null>()(await step.state<number>("seen", "last", { value: 3, ttl: "7d" }));
      same<string>()(secrets.TOKEN);
      same<string | undefined>()(env.HOME);
      await step.do("wrong", () => {
        if (secrets.TOKEN === "") throw new TerminalError("never again");
        throw new RetryAfterError("later", 5_000);
      });
      // @ts-expect-error: every step has a name
      await step.http("GET https://example.org/");
      await step.stop("enough", "Nothing left to do", { as: "succeeded" });
    },
  });
});

Deno.test("invalid options of a trigger do not compile", () => {
  // @ts-expect-error: a webhook says how its sender is known
  webhook("/x", {});
  // @ts-expect-error: no such change
  poll("https://example.org", { on: ["touched"] });
  // @ts-expect-error: options are named, not guessed
  cron("0 9 * * *", { timezome: "UTC" });
  // @ts-expect-error: a rule needs then
  rule({ when: cron("0 9 * * *") });
  // @ts-expect-error: `when` takes triggers
  rule({ when: "0 9 * * *", then: () => {} });
});

Deno.test("an awaited event is typed by its type, a type argument, or a definition", () => {
  rule({
    when: cron("0 9 * * *"),
    then: async ({ step }) => {
      const paid = await step.waitFor<Order>("paid", "payment.received", { match: { "data.id": "A1" }, timeout: "3d" });
      same<Order | undefined>()(paid?.data);
      const either = await step.waitFor("either", ["order.paid", "order.cancelled"]);
      same<"order.paid" | "order.cancelled" | undefined>()(either?.type);
      const defined = await step.waitFor("defined", event("payment.received", payment), { timeout: "3d" });
      same<boolean | undefined>()(defined?.data.paid);
      // @ts-expect-error: it may not come in time
      defined.data;
      // @ts-expect-error: options are named, not guessed
      await step.waitFor("x", "payment.received", { within: "3d" });
      same<null>()(await step.wait("pause", "09:00", { timezone: "Europe/Vienna", until: "2027-01-01T00:00:00Z" }));
    },
  });
});

Deno.test("a form's answers are typed by its fields; they are null only if the form can time out", () => {
  rule({
    when: cron("0 9 * * *"),
    then: async ({ step }) => {
      const fields = {
        decision: { type: "choice", choices: ["approve", "reject"] },
        amount: { type: "number", min: 1 },
        reason: { type: "text", lines: 5, required: false },
        urgent: false,
      } as const;
      const answer = await step.form("approval", "Refund?", { to: "finance", fields, remind: "1d" });
      same<"approve" | "reject">()(answer.decision);
      same<number>()(answer.amount);
      same<string | null>()(answer.reason);
      same<boolean>()(answer.urgent);
      same<string>()(answer.by);
      same<string>()(answer.at);
      const late = await step.form("late", "Refund?", {
        to: ["anna", "carl"],
        fields: { decision: { type: "choice", choices: ["yes", "no"] } },
        escalate: { after: "2d", to: "cfo" },
        timeout: "5d",
      });
      same<"yes" | "no" | undefined>()(late?.decision);
      // @ts-expect-error: nobody may have answered
      late.decision;
      // @ts-expect-error: no such type of field
      await step.form("wrong", "Refund?", { to: "finance", fields: { a: { type: "numbre" } } });
      // @ts-expect-error: somebody is asked
      await step.form("nobody", "Refund?", { fields: {} });
    },
  });
});

Deno.test("with batch a run gets the events of its trigger as a list", () => {
  rule({
    when: [
      event("order.created", type<Order>(), { batch: { every: "1h" }, if: "event.data.amount > 5" }),
      webhook("/gh", { auth: "github", secret: "GH", batch: { quiet: "30s", within: "5m", max: 100 } }),
      cron("* * * * *", { batch: { cron: "0 9 * * 1", timezone: "Europe/Berlin", empty: true } }),
      event("payment.received", payment),
    ],
    then: ({ event }) => {
      if (event.type === "payment.received") return same<boolean>()(event.data.paid);
      same<"batch">()(event.type);
      same<number>()(event.data.count);
      for (const one of event.data.events) if (one.type === "order.created") same<Order>()(one.data);
    },
  });
  rule({
    when: poll<Disk>({ run: "./disks.sh", key: "item.mount", batch: { every: "1h" } }),
    then: ({ event }) => event.data.events.map(({ data }) => data.new!.used),
  });
  rule({
    when: poll<Disk>("https://example.org/disks", { batch: { every: "1h" } }),
    then: ({ event }) => event.data.events.map(({ data }) => data.new!.mount),
  });
  assert.deepEqual(plainJson(poll({ run: "./x", batch: { every: "1h" } }).entry, "the trigger"), {
    poll: { run: "./x" },
    batch: { every: "1h" },
  });
  // @ts-expect-error: a batch has to close
  event("a", undefined, { batch: { max: 5 } });
  // @ts-expect-error: a validator is rule code, which runs once the batch is closed
  event("a", payment, { batch: { every: "1h" } });
});

Deno.test("branches give typed results", () => {
  rule({
    when: cron("0 9 * * *"),
    then: async ({ step }) => {
      const branches = {
        crm: () => step.do("post", () => 3),
        mail: async () => await step.wait("pause", "1h"),
        no: () => {},
      };
      same<{ crm: number; mail: null; no: null }>()(await step.all("both", branches));
      same<{ crm: number | null; mail: null; no: null }>()(await step.all("some", branches, { join: 2 }));
      const first = await step.any("first", { crm: () => Promise.resolve(3), mail: () => "sent" });
      if (first.winner === "crm") same<number>()(first.result);
      else same<string>()(first.result);
      const done = await step.each("lines", [{ id: "a" }], async (line, index) => {
        same<{ id: string }>()(line);
        same<number>()(index);
        return await step.do("save", () => line.id);
      }, { max: 5, rate: "10/s" });
      same<string[]>()(done.results);
      const some = await step.each("some", ["a"], (item) => item, { onError: "continue" });
      same<(string | null)[]>()(some.results);
      same<number>()(some.failed);
      same<string>()(some.errors[0].message);
      // @ts-expect-error: branches have names
      await step.all("list", [() => 1]);
      // @ts-expect-error: no such answer to an error
      await step.each("lines", ["a"], () => {}, { onError: "retry" });
    },
  });
});

const ROOT = new URL("../..", import.meta.url).pathname;

/** Packages that the worker loads through its imports, except types, each with the importing file. */
function packagesOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(join(ROOT, file), "utf8").replaceAll(/^(import|export) type [^;]*;/gms, "");
  const specifiers = [...text.matchAll(/^(?:import|export)\b[^;]*?from "([^"]+)"/gms)].map(([, specifier]) =>
    specifier
  );
  return specifiers.flatMap((specifier) => {
    if (specifier.startsWith(".")) return packagesOf(relative("", join(dirname(file), specifier)), seen);
    return specifier.startsWith("node:") ? [] : [`${specifier} by ${file}`];
  });
}

Deno.test("a worker loads no library: each would cost every rule's start and memory", () => {
  assert.deepEqual(packagesOf("runtime/workers/rule_thread.ts"), []);
  assert.deepEqual(packagesOf("runtime/fleet/fleet_thread.ts"), []);
  assert.ok(
    packagesOf("runtime/language/checker/test_kinds.ts").includes("zod by runtime/language/checker/test_kinds.ts"),
  );
});

Deno.test("plainJson() returns what JSON would", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assert.deepEqual(plainJson(value, "it"), JSON.parse(JSON.stringify(value)) as Json);
  }));
  assert.deepEqual(plainJson({ a: undefined, b: [undefined, { toJSON: () => "x" }] }, "it"), { b: [null, "x"] });
  assert.equal(plainJson(undefined, "it"), null);
});

Deno.test("plainJson() names the path and the type of a value that JSON cannot represent", () => {
  const message = (value: unknown) => {
    try {
      return plainJson(value, "it");
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
  };
  const circle: Record<string, unknown> = {};
  circle.self = [circle];
  assert.equal(message(new Map()), "TerminalError: it is a Map, which JSON cannot represent: use Object.fromEntries()");
  assert.equal(
    message({ "a b": [Symbol()] }),
    'TerminalError: it has a symbol at ["a b"][0], which JSON cannot represent',
  );
  assert.match(String(message([10n ** 400n])), /a number too large for a double at \[0\]/);
  assert.equal(message([NaN]), "TerminalError: it has NaN at [0], which JSON cannot represent");
  assert.equal(message({ f() {} }), "TerminalError: it has a function at f, which JSON cannot represent");
  assert.equal(
    message({ p: Promise.resolve() }),
    "TerminalError: it has a Promise at p, which JSON cannot represent: await it",
  );
  assert.match(String(message(circle)), /a reference to itself at self\[0\]/);
  const twice = { n: 1 };
  assert.deepEqual(plainJson([twice, twice], "it"), [twice, twice]);
});

Deno.test("plainJson() keeps whole numbers beyond 2^53, smaller BigInts become numbers", () => {
  assert.deepEqual(plainJson([9007199254740993n, -(2n ** 63n), 5n, 2 ** 60], "it"), [
    9007199254740993n,
    -(2n ** 63n),
    5,
    2 ** 60,
  ]);
});
