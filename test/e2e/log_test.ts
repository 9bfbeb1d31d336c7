import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { whenthen } from "./program.ts";

const FORGED = "08:00:00 error: forged";

for (const format of ["pretty", "json"]) {
  Deno.test(`newlines and control characters in data and file names add no lines to the ${format} log`, async () => {
    const items = JSON.stringify([`x\r\n${FORGED}\u001b[2J\u2028y`]);
    await using folder = await rulesFolder({
      "a.yaml": `when: { poll: { run: [echo, ${JSON.stringify(items)}] }, first: emit, key: item }\n` +
        'then:\n  - { log: "got ${{ event.data.new }}", level: error, data: "${{ event.data.new }}" }\n',
      [`b\n${FORGED}.yaml`]: "when: { crn: 5m }\nthen: []\n",
    });
    const { stderr } = await whenthen(["once", folder.rules, "--data", folder.data, "--log", format]);
    const shown = format === "json" ? /got x\\r\\n08/ : /error: got x\\r\\n08:00:00 error: forged\\u001b\[2J\\u2028y/;
    assert.match(stderr, shown);
    assert.match(stderr, /b\\n08:00:00 error: forged/);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(stderr, /^08:00:00|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]/m);
  });
}
