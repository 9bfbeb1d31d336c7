import assert from "node:assert/strict";
import { event, manual, rule } from "../../runtime/sdk/mod.ts";

/** Compiles only if both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : never;

Deno.test("the inputs and the config of a rule have the types of their fields", () => {
  const checked: true[] = [];
  const is = <A, B>(same: Same<A, B>) => void checked.push(same);
  const made = rule({
    when: [manual({ to: ["ops"] }), event("a", undefined, { inputs: { bits: 1, host: "${{ event.data.host }}" } })],
    config: { ports: { type: "list", of: "port", default: [80] } },
    inputs: {
      bits: { type: "integer", choices: [1, 2] },
      port: { type: "port", required: false },
      host: { type: "ip", requires: ["port"] },
      tags: { type: "list", of: { type: "choice", choices: ["x", "y"] } },
      token: { type: "secret", choices: ["A", "B"] },
      verbose: false,
      a: { type: "text" },
      b: { type: "text" },
      oneOf: [["a", "b"]],
    },
    then: ({ inputs, config }) => {
      is<typeof inputs.bits, 1 | 2>(true);
      is<typeof inputs.port, number | null>(true);
      is<typeof inputs.host, string>(true);
      is<typeof inputs.tags, ("x" | "y")[]>(true);
      is<typeof inputs.token, "A" | "B">(true);
      is<typeof inputs.verbose, boolean>(true);
      is<typeof inputs.a, string | null>(true);
      is<typeof config.ports, number[]>(true);
      // @ts-expect-error: groups are no input
      inputs.oneOf;
    },
  });
  const inputs = { bits: 1, port: null, host: "", tags: [], token: "A", verbose: false, a: null, b: "" };
  (made.spec.then as unknown as (scope: object) => void)({ inputs, config: { ports: [] } });
  assert.equal(checked.length, 8);
});
