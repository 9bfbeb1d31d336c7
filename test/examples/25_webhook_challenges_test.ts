import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

const env = {
  META_VERIFY_TOKEN: "meatyhamhock",
  META_APP_SECRET: "app secret",
  DROPBOX_APP_SECRET: "box secret",
  GRAPH_CLIENT_STATE: "ours",
};

Deno.test("example 25: challenges are answered with their text, and what is sent then is taken if it is signed", async () => {
  await using folder = await copyExample("25-webhook-challenges");
  await using program = start(folder.rules, { data: folder.data, env });
  const ask = async (path: string, method = "GET") => {
    const response = await program.fetch(path, { method });
    return [response.status, response.headers.get("content-type"), await response.text()];
  };
  const TEXT = "text/plain; charset=utf-8";
  const meta = "/hooks/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
  assert.deepEqual(await ask(`${meta}meatyhamhock`), [200, TEXT, "1158201444"]);
  assert.equal((await ask(`${meta}guess`))[0], 202);
  assert.deepEqual(await ask("/hooks/dropbox?challenge=abc"), [200, TEXT, "abc"]);
  const token = "/hooks/graph?validationToken=Validation%3a+Testing+client+application%3cb%3e";
  assert.deepEqual(await ask(token, "POST"), [200, TEXT, "Validation: Testing client application<b>"]);

  const signed = (secret: string, payload: unknown, name: string, prefix = "") => ({
    [name]: prefix + createHmac("sha256", secret).update(JSON.stringify(payload)).digest("hex"),
  });
  const page = { object: "page", entry: [{ id: "7" }] };
  const account = { list_folder: { accounts: ["dbid:1"] } };
  const change = { value: [{ changeType: "created", resource: "Users/7", clientState: "ours" }] };
  const statuses = [
    await program.post("/hooks/meta", page, signed("app secret", page, "x-hub-signature-256", "sha256=")),
    await program.post("/hooks/meta", page, signed("guess", page, "x-hub-signature-256", "sha256=")),
    await program.post("/hooks/dropbox", account, signed("box secret", account, "x-dropbox-signature")),
    await program.post("/hooks/graph", change),
  ].map(({ status }) => status);
  assert.deepEqual(statuses, [202, 401, 202, 202]);
  for (const rule of ["meta", "dropbox", "graph"]) await program.waitForMessage(`${rule} succeeded`);
});
