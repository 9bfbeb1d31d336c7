import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "../e2e/folder.ts";

const ROOT = new URL("../..", import.meta.url);

Deno.test("packages of OpenTelemetry are loaded only if an endpoint is set", async () => {
  await using folder = await rulesFolder({ "a.yaml": "when: manual\nthen: [{ log: x }]\n" });
  // In the place of each package stands a module without exports, which nothing can load that imports something of it.
  const packages = await readdir(new URL("node_modules/@opentelemetry", ROOT));
  assert.ok(packages.includes("api") && packages.includes("sdk-trace"), packages.join());
  const imports = Object.fromEntries(packages.map((name) => [`@opentelemetry/${name}`, "data:text/javascript,"]));
  const map = join(folder.rules, "../imports.json");
  await writeFile(map, JSON.stringify({ imports: { whenthen: new URL("runtime/sdk/mod.ts", ROOT), ...imports } }));
  const once = async (endpoint: string) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--node-modules-dir=manual", "--config", new URL("deno.json", ROOT).pathname],
        ...["--import-map", map, new URL("bin/whenthen.ts", ROOT).pathname],
        ...["once", folder.rules, "--data", folder.data],
      ],
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
    }).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
  const [without, sending] = [await once(""), await once("http://127.0.0.1:9")];
  assert.equal(without.code, 0, without.stderr);
  assert.equal(sending.code, 1);
  assert.match(sending.stderr, /'@opentelemetry\/\w+' does not provide an export/);
});
