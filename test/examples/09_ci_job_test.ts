import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parse } from "yaml";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample, ROOT } from "./example.ts";

interface Step {
  uses?: string;
  run?: string;
  if?: string;
  with?: Record<string, string>;
  env?: Record<string, string>;
}

const feed = (...titles: string[]) =>
  `<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Releases</title>${
    titles.map((title) =>
      `<entry><id>tag:${title}</id><title>${title}</title><link href="https://example.org/${title}"/></entry>`
    ).join("")
  }</feed>`;

Deno.test("example 09: the workflow's own command reports what is new since the cached state", async () => {
  let titles = ["v1"];
  let broken = false;
  await using peer = await WebServer.start((seen, response) => {
    if (seen.method === "POST") return response.end("{}");
    if (broken) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/atom+xml" }).end(feed(...titles));
  });
  await using folder = await copyExample("09-ci-job", {
    "rules/config.yaml": `releases: { feed: "${peer.url}/releases.atom" }`,
  });
  await symlink(ROOT, join(folder.rules, "whenthen"));
  const workflow = parse(await readFile(join(folder.rules, ".github/workflows/watch.yml"), "utf8"));
  const steps: Step[] = workflow.jobs.pass.steps;
  const { run, env } = steps.find(({ run }) => run !== undefined)!;
  const pass = () => job(run!, folder.rules, { CHAT_URL: `${peer.url}/chat/s3cret-room` });
  assert.deepEqual(Object.keys(env!), ["CHAT_URL"]);
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  assert.equal(
    /deno@\S+/.exec(run!)![0],
    /deno@\S+/.exec(scripts.whenthen)![0],
    "the Deno that the project is tested with",
  );
  const [restore, save] = steps.filter(({ uses }) => uses?.startsWith("actions/cache/"));
  assert.equal(restore.with!.key, save.with!.key);
  assert.ok(restore.with!.key.startsWith(restore.with!["restore-keys"]));
  assert.equal(save.if, "always()", "a failed pass has effects, too");
  assert.equal(steps.find(({ uses, with: to }) => uses?.startsWith("actions/checkout") && to)!.with!.path, "whenthen");

  assert.deepEqual((await pass()).code, 0);
  assert.ok((await readdir(join(folder.rules, restore.with!.path))).length > 0, "the state is in the cached folder");
  titles = ["v2", "v1"];
  const second = await pass();
  assert.equal(second.code, 0, second.output);
  const posts = () => peer.seen.filter(({ method }) => method === "POST");
  assert.deepEqual(posts().map(({ path, body }) => [path, JSON.parse(body).text]), [
    ["/chat/s3cret-room", "v2 https://example.org/v2"],
  ]);
  assert.ok(!second.output.includes("s3cret-room"));
  broken = true;
  assert.equal((await pass()).code, 1, "a failed poll makes the job red");
  assert.equal(posts().length, 1);
});

/** Runs a step's script like GitHub's runner. */
function job(script: string, cwd: string, env: Record<string, string>): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, NO_COLOR: "1", ...env } };
    execFile("bash", ["-e", "-c", script], options, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}
