import assert from "node:assert/strict";
import { viewSource } from "../../../runtime/web/console/run_source.ts";

const SOURCE = `export default rule({
  then: async ({ step }) => {
    await step.http("get", "https://example.org/");
    await step.do(
      "a/b",
      () => 1,
    );
    await step.log("twice", "1");
    await step.log("twice", "2");
  },
});
`;

Deno.test("viewSource() marks the line of the step, in a branch and for a repeated name too", () => {
  const lines = ["get", "both/crm/get#3", "a%2Fb"].map((path) => viewSource(SOURCE, { path }).marked);
  assert.deepEqual(lines, [3, 3, 5]);
});

Deno.test("viewSource() marks nothing where a name is not unique, or no step is open", () => {
  const whole = { text: SOURCE.trimEnd(), first: 1, lines: 11, total: 11 };
  assert.deepEqual(viewSource(SOURCE, { path: "twice" }), whole);
  assert.deepEqual(viewSource(SOURCE, undefined), whole);
});

Deno.test("viewSource() shows the lines beside the step of a long source", () => {
  const lines = Array.from({ length: 500 }, (_, at) => at === 299 ? '  step.log("here")' : `// ${at + 1}`);
  const { text, ...rest } = viewSource(lines.join("\n"), { path: "here" });
  assert.deepEqual(rest, { first: 260, lines: 81, total: 500, marked: 300 });
  assert.equal(text.split("\n")[40], '  step.log("here")');
});
