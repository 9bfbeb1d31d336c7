import {
  cron,
  type Duration,
  event,
  every,
  poll,
  rule,
  type RuleTester,
  type,
  webhook,
} from "../../runtime/sdk/mod.ts";

/**
 * The types of the SDK: each line below a `@ts-expect-error` must not compile, and all others must. `deno check` is the test; what is here
 * is also run, so that it is code that works.
 *
 * @module
 */

Deno.test("durations and rates are checked where they are written", () => {
  every("5m");
  every("1.5h", { missed: "skip" });
  every("PT90S");
  every("${{ config.every }}");
  const minutes: number = 5;
  every(`${minutes}m`);
  // @ts-expect-error: a blank and a word
  every("5 min");
  // @ts-expect-error: no unit
  every("5");
  // @ts-expect-error: seconds as a number
  cron("0 8 * * *", { window: 60 });
  poll("https://example.org/", { every: "10m", stagnant: "2h" });
  // @ts-expect-error: a word
  poll("https://example.org/", { every: "often" });
  event("a", undefined, { batch: { quiet: "30s", within: "5m" } });
  // @ts-expect-error: a word in a batch
  event("a", undefined, { batch: { quiet: "30 seconds" } });
  rule({ when: every("1h"), timeout: "10m", limit: "10/s", then: () => {} });
  rule({ when: every("1h"), limit: "none", then: () => {} });
  // @ts-expect-error: a rate needs a unit
  rule({ when: every("1h"), limit: "10", then: () => {} });
});

Deno.test("durations of steps are checked where they are written, and text that code computes is taken", () => {
  rule({
    when: event<"order.paid", { due: string }>("order.paid"),
    then: async ({ event, step }) => {
      await step.wait("a", "1h");
      await step.wait("b", "09:00", { timezone: "Europe/Berlin" });
      await step.wait("b", "09:00:30");
      await step.wait("c", "2027-01-01T09:00:00Z");
      await step.wait("d", event.data.due);
      await step.waitFor("answered", "order.answered", { timeout: event.data.due as Duration });
      // @ts-expect-error: a blank and a word
      await step.wait("e", "5 min");
      // @ts-expect-error: a word
      await step.http("f", "GET https://example.org/", { timeout: "long" });
      // @ts-expect-error: a word
      await step.each("g", [1], () => {}, { rate: "10 per second" });
      // @ts-expect-error: a word
      await step.form("h", "OK?", { to: "ops", remind: "daily" });
    },
  });
  const never = async (t: RuleTester) => {
    await t.advance("2d");
    // @ts-expect-error: a word
    await t.advance("two days");
  };
  void never;
});

Deno.test("events of GitHub have their types, and a type that GitHub does not know does not compile", () => {
  rule({
    when: webhook("/github", { auth: "github", secret: "GITHUB" }),
    then: async ({ event, step }) => {
      if (event.type === "github.push") await step.log("a", event.data.commits.map(({ id }) => id).join());
      else if (event.type === "github.issues") {
        // @ts-expect-error: an issue has no commits
        await step.log("b", event.data.commits);
        await step.log("c", `${event.data.action} ${event.data.issue.title} ${event.http.method}`);
      }
      if (event.type === "github.sub_issues") await step.log("e", `${event.data.action}`);
      if (event.type === "github.repository_ruleset" || event.type === "github.personal_access_token_request") return;
      // @ts-expect-error: no such event
      if (event.type === "github.psuh") await step.log("d", "never");
    },
  });
  rule({
    when: webhook("/own", { auth: "github", secret: "GITHUB" }, type<{ a: number }>()),
    then: ({ event }) => {
      const a: number = event.data.a;
      // @ts-expect-error: its type is known
      const b: string = event.data.a;
      return event.type === "github.anything" ? a : b;
    },
  });
  rule({
    when: [webhook("/any", { auth: "none" }), every("1h")],
    then: async ({ event, step }) => {
      if (event.type === "every") await step.log("due", event.data.scheduled);
      else await step.log("body", JSON.stringify(event.data));
    },
  });
});
