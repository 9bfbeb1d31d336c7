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
  assert.equal(viewSource(SOURCE, { path: "get" }).line, '    await step.http("get", "https://example.org/");');
  assert.equal(
    viewSource(SOURCE, { path: "both/crm/get#3" }).line,
    '    await step.http("get", "https://example.org/");',
  );
  assert.equal(viewSource(SOURCE, { path: "a%2Fb" }).line, '      "a/b",');
});

Deno.test("viewSource() marks nothing where a name is not unique, or no step is open", () => {
  const whole = { before: SOURCE, after: "", first: 1, total: 11 };
  assert.deepEqual(viewSource(SOURCE, { path: "twice" }), whole);
  assert.deepEqual(viewSource(SOURCE, undefined), whole);
});

Deno.test("viewSource() shows the lines beside the step of a long source", () => {
  const lines = Array.from({ length: 500 }, (_, at) => at === 299 ? '  step.log("here")' : `// ${at + 1}`);
  const shown = viewSource(lines.join("\n"), { path: "here" });
  assert.deepEqual([shown.first, shown.total, shown.after.split("\n").length - 1], [260, 500, 40]);
});
