import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { BINARY } from "../binary/binary.ts";
import { copyExample, ROOT } from "./example.ts";

Deno.test({
  name: "example 10: the binary, unpacked as in the build, serves hooks to everybody, the rest with the token",
  ignore: BINARY === "",
  fn: async () => {
    await using folder = await copyExample("10-heroku");
    execFileSync("bash", ["-c", `gzip -1 -c ${BINARY} > whenthen.gz`], { cwd: folder.rules });
    const manifest = JSON.parse(await readFile(join(folder.rules, "package.json"), "utf8"));
    execFileSync("bash", ["-c", manifest.scripts["heroku-postbuild"]], { cwd: folder.rules });
    await checkDyno(webOf(await readFile(join(folder.rules, "Procfile"), "utf8")), folder.rules);
  },
});

Deno.test("example 10: the same from source, as its README says", async () => {
  await using folder = await copyExample("10-heroku");
  await symlink(ROOT, join(folder.rules, "whenthen"));
  const readme = await readFile(join(folder.rules, "README.md"), "utf8");
  const [procfile, manifest] = ["Procfile", "json"].map((language) =>
    new RegExp(`^\`\`\`${language}\n(.+?)^\`\`\``, "ms").exec(readme)![1]
  );
  const { deno } = JSON.parse(manifest).dependencies;
  assert.match(await readFile(join(ROOT, "package.json"), "utf8"), new RegExp(`deno@${deno} `));
  await writeFile(join(folder.rules, "package.json"), manifest);
  await checkDyno(webOf(procfile), folder.rules);
});

function webOf(procfile: string): string {
  return /^web: (.+)$/m.exec(procfile)![1];
}

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

/** A dyno: the Procfile's command with the app's programs on the path and a port from outside. */
function dyno(command: string, cwd: string, env: Record<string, string>) {
  const path = `${dirname(Deno.execPath())}:${process.env.PATH}`;
  const child: ChildProcess = spawn("bash", ["-c", `exec ${command}`], {
    cwd,
    env: { ...process.env, PATH: path, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const address = Promise.withResolvers<string>();
  const read = (text: string) => {
    output += text;
    const listening = /Listening on (http:\S+)/.exec(output);
    if (listening) address.resolve(listening[1]);
  };
  child.stdout!.setEncoding("utf8").on("data", read);
  child.stderr!.setEncoding("utf8").on("data", read);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  ended.then(() => address.reject(new Error(`It ended without listening: ${output}`)));
  address.promise.catch(() => {});
  return { child, ended, output: () => output, url: () => address.promise };
}
