import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

Deno.test("example 20: openssl makes a key, its public key and a request, which it finds right", async () => {
  await using folder = await copyExample("20-openssl");
  await using program = start(folder.rules, { data: folder.data });
  const { body } = await program.post("/events", {
    specversion: "1.0",
    type: "host.added",
    source: "/test",
    id: "1",
    data: { name: "example.org; rm -rf ~" },
  }, { "content-type": "application/cloudevents+json" });
  await program.waitForMessage("certify succeeded");
  const { steps } = await program.api(`runs/${body.runs[0]}`);
  const result = (path: string) => steps.find((step: { path: string }) => step.path === path).output;

  const { code, argv, files: [key] } = result("key");
  assert.equal(code, 0);
  assert.deepEqual(argv, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem".split(" "));
  assert.equal(key.name, "key.pem");
  const privateKey = createPrivateKey(await readFile(key.path));
  assert.equal(privateKey.asymmetricKeyDetails!.modulusLength, 2048);
  const [ofKey, given] = [createPublicKey(privateKey), createPublicKey(result("public").stdout)];
  assert.equal(given.export({ type: "spki", format: "pem" }), ofKey.export({ type: "spki", format: "pem" }));
  assert.ok(result("request").argv.includes("/CN=example.org; rm -rf ~"), "it stays one argument");
  assert.equal(result("checked").code, 0);
});

Deno.test("example 20: a routine hands on what a command has put out, by a file and by standard input", async () => {
  await using folder = await copyExample("20-openssl");
  await using program = start(folder.rules, { data: folder.data });
  const { body } = await program.post("/api/rules/seal/start", { inputs: { text: "Sealed" } });
  await program.waitForMessage("seal succeeded");
  const { steps } = await program.api(`runs/${body.runs[0]}`);
  const stdout = (end: string) => steps.find(({ path }: { path: string }) => path.endsWith(end)).output.stdout;
  const digest = async (text: string) => {
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    return `${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")} *stdin\n`;
  };
  const first = await readFile(stdout("first").path, "utf8");
  assert.equal(first, await digest("Sealed"));
  assert.equal(atob(stdout("base64").replaceAll("\n", "")), first);
  assert.match(stdout("nonce"), /^[0-9a-f]{32}\n$/);
  assert.equal(stdout("seal"), await digest(stdout("base64") + stdout("nonce")));
});
