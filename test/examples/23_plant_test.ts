import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Simulator } from "../../examples/23-plant/simulator.ts";
import { start, whenthen } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { copyExample, ROOT } from "./example.ts";

/** The fleet of the example on another port, with pings that a test can wait for. */
async function fleet(port: number): Promise<string> {
  const text = await readFile(join(ROOT, "examples/23-plant/plc.yaml"), "utf8");
  return text.replaceAll("port: 5020", `port: ${port}`)
    .replace("every: [8s, 10s], timeout: 5s", "every: [100ms, 200ms], timeout: 500ms")
    .replace("timeout: 10s, again: 1m", "timeout: 1s, again: 1s");
}

Deno.test("example 23: PLCs that hang, refuse or are slow; a dead one is rebooted once somebody agrees", async () => {
  const simulator = new Simulator();
  const port = await simulator.listen(0);
  try {
    await using folder = await copyExample("23-plant", { "plc.yaml": await fleet(port) });
    await using program = start(folder.rules, { data: folder.data });
    const stateOf = async (name: string) => (await program.api(`device?fleet=plc&name=${name}`)).state;
    for (const name of ["press-1", "press-2", "oven"]) {
      await until(`${name} is reachable`, () => stateOf(name).catch(() => ""), (state) => state === "reachable");
    }
    const task = (...words: string[]) => whenthen(["--data", folder.data, "task", "plc", ...words]);
    assert.equal((await task("write", "register=7", "value=42", "--to", "tag:press")).code, 0);
    assert.deepEqual([simulator.registers.get("1 7"), simulator.registers.get("2 7")], [42, 42]);
    assert.match((await task("read", "register=7", "--to", "press-1", "oven")).stdout, /press-1: 42\n[^]*2 of 2/);

    simulator.behaviours.set(1, "hang");
    simulator.behaviours.set(2, "refuse");
    await program.waitForMessage("waits for an answer");
    await until("both are asked about", () => program.api("forms"), (forms) => forms.length === 2);
    assert.equal(await stateOf("oven"), "reachable", "the others go on");
    assert.deepEqual(simulator.rebooted, [], "nobody has agreed yet");
    const forms = await program.api("forms");
    const form = forms.find(({ title }: { title: string }) => title.startsWith("Reboot press-1?"));
    const answered = await whenthen(["--data", folder.data, "answer", form.id, "--as", "olga", "decision=reboot"]);
    assert.equal(answered.code, 0, answered.stderr);
    await program.waitForMessage("press-1 unit 1 was rebooted");
    assert.deepEqual(simulator.rebooted, [1]);
    await until("press-1 is back", () => stateOf("press-1"), (state) => state === "reachable");
    for (const behaviour of ["slow", "close"] as const) {
      simulator.behaviours.set(1, behaviour);
      await until(`press-1 is ${behaviour}`, () => stateOf("press-1"), (state) => state !== "reachable");
      simulator.behaviours.delete(1);
      await until("press-1 is back", () => stateOf("press-1"), (state) => state === "reachable");
    }
  } finally {
    await simulator.close();
  }
});
