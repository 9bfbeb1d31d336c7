import { event, rule, type } from "whenthen";

/** Listens to what hello.yaml emits and remembers, across restarts too, how often each name was greeted. */
export default rule({
  name: "Count greetings",
  when: event("hello.said", type<{ name: string; text: string }>()),
  key: "event.data.name",
  mode: "queued", // one after the other for each name, so that none is counted twice
  then: async ({ event: { data }, step }) => {
    const before = await step.state<number>("read", `greetings/${data.name}`) ?? 0;
    await step.state("remember", `greetings/${data.name}`, { value: before + 1 });
    await step.log("tell", `"${data.text}" (${data.name} was greeted ${before + 1} times so far)`);
  },
});
