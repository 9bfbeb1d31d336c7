import assert from "node:assert/strict";
import { action, type Json, poll, rule, source, type } from "../../runtime/sdk/mod.ts";

interface Task {
  gid: string;
  done: boolean;
}

const tasks = source({
  inputs: { project: { type: "text" }, limit: 100, tag: { type: "text", required: false } },
  read: async ({ inputs, http, cursor }) => {
    const project: string = inputs.project;
    const limit: number = inputs.limit;
    const tag: string | null = inputs.tag;
    const { body } = await http<Task[]>("GET https://tasks.example", { query: { project, limit, tag, cursor } });
    return { items: body, complete: true };
  },
  one: ({ key }) => ({ gid: key, done: false }),
});

const messages = source({
  item: type<{ n: number }>(),
  listen: async ({ emit }) => await emit({ n: 1 }, { cursor: 1 }),
});

const comment = action({
  inputs: { text: { type: "text" } },
  run: ({ inputs }) => ({ id: inputs.text.length }),
});

Deno.test("sources and actions are typed: inputs, items, events, results", () => {
  const made = rule({
    when: [
      poll(tasks({ project: "77" }), { every: "5m", stagnant: "10m" }),
      poll(messages()),
    ],
    then: async ({ event, step }) => {
      if (event.type === "stagnant") {
        const stale: boolean | undefined = event.data.new?.done;
        // @ts-expect-error no such field
        event.data.new?.name;
        return stale;
      }
      const { id } = await step.call(comment, "say", { text: "x" });
      const count: number = id;
      // @ts-expect-error a text is needed
      await step.call(comment, "say", { text: 1 });
      // @ts-expect-error the text is missing
      await step.call(comment, "say", {});
      return count;
    },
  });
  // @ts-expect-error the project is missing
  const missing = () => tasks({});
  // @ts-expect-error the limit is a number
  const wrong = () => tasks({ project: "x", limit: "many" });
  // @ts-expect-error a source without inputs that are needed takes none
  const none = () => poll(tasks());
  // @ts-expect-error one returns an item as read does
  const other = () => source({ read: () => ({ items: [{ a: 1 }] }), one: () => ({ a: "1" }) });
  assert.equal([missing, wrong, none, other].length, 4);
  const batched = rule({
    when: poll(tasks({ project: "1", tag: "x" }), { batch: { every: "1h" } }),
    then: ({ event }) => event.data.events.map((each): boolean | undefined => each.data.new?.done) as Json,
  });
  assert.ok(made !== batched);
});
