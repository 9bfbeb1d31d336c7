import assert from "node:assert/strict";
import { join } from "node:path";
import { TestClock } from "../clock.ts";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { TIMEOUT, until, within } from "../until.ts";
import { Provider } from "./provider.ts";
import { openFiles, residentMegabytes } from "./resources.ts";
import { pause, size } from "./size.ts";

const RELOADS = size(80, 10_000);
/** Number of reloads after which memory is measured first. */
const WARM = size(40, 500);
const RULES = 50;
/** Every fifth rule is TypeScript. */
const isCode = (index: number) => index % 5 === 4;

/** One of fifty rules, in one of its many versions. */
function rule(index: number, version: number): [name: string, text: string] {
  if (!isCode(index)) {
    return [
      `r${index}.yaml`,
      `when:
  - { webhook: /r${index}, auth: none }
  - { every: ${1 + version % 3}h }
  - { cron: "${version % 60} 4 * * *" }
if: event.data.n != ${version}
config: { limit: ${version} }
then:
  - log: "version ${version}"
`,
    ];
  }
  return [
    `r${index}.ts`,
    `import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/r${index}", { auth: "none" }),
  then: async ({ step }) => { await step.log("say", "version ${version}"); },
});
`,
  ];
}

/** The rule that receives the load. */
const loaded = (version: number) => `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - log: "version ${version}"
`;

/** The minimum memory in use within some seconds, and the open files. */
async function measure(program: Program): Promise<{ memory: number; files: number }> {
  const all: { memory: number; files: number }[] = [];
  for (let look = 0; look < 20; look++) {
    all.push({ memory: residentMegabytes(program), files: openFiles(program) });
    await pause(250);
  }
  const least = (of: "memory" | "files") => Math.min(...all.map((seen) => seen[of]));
  return { memory: least("memory"), files: least("files") };
}

Deno.test("repeated reloads of fifty rules under load: no event is lost or duplicated, memory and open files stay constant", async () => {
  const files = Object.fromEntries(Array.from({ length: RULES }, (_, index) => rule(index, 0)));
  // Full before the first measurement: stored events do not count as growth.
  const settings = { "whenthen.yaml": "retention: { bytes: 3MB }\n" };
  await using folder = await rulesFolder({ ...files, ...settings, "in.yaml": loaded(0) });
  const clock = await TestClock.in(join(folder.rules, ".."), Date.now());
  await using program = start(folder.rules, { data: folder.data, env: clock.env });
  await program.url();
  using provider = new Provider({ path: "/hooks/in", runs: 1, senders: 1, rest: size(20, 100) });
  provider.program = program;
  let warm = await measure(program);
  for (let version = 1; version <= RELOADS; version++) {
    const index = version % RULES;
    const [name, text] = rule(index, version);
    program.forget();
    await folder.write(name, text);
    await folder.write("in.yaml", loaded(version));
    // Two reloads are a second apart, so the clock is advanced with each.
    await clock.set(Date.now() + version * 1_100);
    for (const id of ["in", `r${index}`]) {
      await program.waitFor(
        `version ${version} of ${id}`,
        ({ message }) => message.startsWith(`loaded ${id} `),
      );
    }
    if (version === WARM) warm = await measure(program);
  }
  // So few reloads are not enough for memory to settle.
  const growth = size(60, 20);
  const end = await until("memory and open files to be as they were", () => measure(program), ({ memory, files }) => {
    return memory <= warm.memory + growth && files <= warm.files + 3;
  });
  await within(TIMEOUT, "all answers", provider.end());
  console.log(
    `${provider.sent.size} events; after ${WARM} reloads ${JSON.stringify(warm)}, after ${RELOADS} ${
      JSON.stringify(end)
    }`,
  );
  const counts = async () => (await program.api("rules")).find(({ id }: Answered) => id === "in").verdicts.started;
  assert.equal(await until("all runs", counts, (started) => started >= provider.sent.size), provider.sent.size);
  await provider.checkKnown(program);
  assert.equal(await counts(), provider.sent.size);
  assert.equal(await program.stop(), 0);
});
