import { event, rule, type } from "whenthen";

/** Rules in TypeScript need nothing more in the image: the bundler is inside the program. */
export default rule({
  name: "Count the words",
  when: event("hello.said", type<{ text: string }>()),
  then: async ({ event, step }) => {
    const words = await step.do("count", () => event.data.text.split(" ").length);
    await step.log("tell", `"${event.data.text}" has ${words} words`);
  },
});
