import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { BINARY } from "../binary/binary.ts";
import { copyExample } from "./example.ts";
import { commandOf, dyno, useSource } from "./dyno.ts";

Deno.test({
  name: "example 10: the binary, unpacked as in the build, serves hooks to everybody, the rest with the token",
  ignore: BINARY === "",
  fn: async () => {
    await using folder = await copyExample("10-heroku");
    execFileSync("bash", ["-c", `gzip -1 -c ${BINARY} > whenthen.gz`], { cwd: folder.rules });
    const manifest = JSON.parse(await readFile(join(folder.rules, "package.json"), "utf8"));
    execFileSync("bash", ["-c", manifest.scripts["heroku-postbuild"]], { cwd: folder.rules });
    await checkDyno(commandOf("web", await readFile(join(folder.rules, "Procfile"), "utf8")), folder.rules);
  },
});

Deno.test("example 10: the same from source, as its README says", async () => {
  await using folder = await copyExample("10-heroku");
  const { procfile } = await useSource(folder.rules);
  await checkDyno(commandOf("web", procfile), folder.rules);
});

/** Requirements on an app, whatever its command is. */
async function checkDyno(command: string, folder: string): Promise<void> {
  const refused = dyno(command, folder, { WHENTHEN_TOKEN: "" });
  assert.notEqual(await refused.ended, 0);
  assert.match(refused.output(), /WHENTHEN_TOKEN/);

  const token = "a-long-random-text";
  const running = dyno(command, folder, { WHENTHEN_TOKEN: token });
  try {
    const url = await running.url();
    const hook = await fetch(`${url}/hooks/hello`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"Ada"}',
    });
    assert.deepEqual(await hook.json(), { text: "Hello, Ada" });
    const status = async (path: string, authorization?: string) => {
      const response = await fetch(url + path, { headers: authorization ? { authorization } : {} });
      await response.body?.cancel();
      return response.status;
    };
    assert.deepEqual([await status("/healthz"), await status("/readyz")], [200, 200]);
    for (const path of ["/", "/api/rules", "/metrics"]) {
      assert.equal(await status(path), 401, path);
      assert.equal(await status(path, "Bearer wrong"), 401, path);
      assert.equal(await status(path, `Bearer ${token}`), 200, path);
    }
    // By its id: after child.kill() Deno reports the signal, whatever code the child exits with.
    process.kill(running.child.pid!, "SIGTERM");
    assert.equal(await running.ended, 0, running.output());
  } finally {
    running.child.kill("SIGKILL");
  }
}
