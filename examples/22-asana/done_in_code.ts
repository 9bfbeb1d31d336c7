import { poll, rule } from "whenthen";
import { move, tasks } from "whenthen-asana";

/** What was completed goes to the section "Done". In TypeScript, with typed items and inputs. */
export default rule({
  name: "Move what is done",
  when: poll(tasks({ project: "1200000000000001", completed: "all", fields: ["completed"] }), {
    every: "1m",
    on: ["changed"],
    if: "event.data.new.completed && !event.data.old.completed",
    auth: { connection: "asana" },
  }),
  then: async ({ event, step }) => {
    const task = event.data.new!.gid;
    await step.call(move, "done", { task, section: "12000000000000019" }, { auth: { connection: "asana" }, retry: 5 });
  },
});
