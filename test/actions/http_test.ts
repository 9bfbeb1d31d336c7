import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { ActionContext } from "../../runtime/actions/action.ts";
import { http } from "../../runtime/actions/http.ts";
import { readRetryAfter } from "../../runtime/actions/http_request.ts";
import { ConnectionError } from "../../runtime/connections/connection.ts";
import { readMultipart } from "../../runtime/formats/multipart.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { type NewFile, RunFiles } from "../../runtime/host/run_files.ts";
import { RetryAfterError, TerminalError } from "../../runtime/model/errors.ts";
import type { SavedFile } from "../../runtime/model/event.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import { makeContext } from "./context.ts";
import { withServer } from "./http_server.ts";

interface Result {
  status: number;
  headers: Record<string, string | string[]>;
  body: unknown;
}

async function execute(args: JsonObject, context: ActionContext = makeContext()): Promise<Result> {
  return (await http.execute(args, context)).output as unknown as Result;
}

/** The error that a request ends with. */
async function failureOf(args: JsonObject, context?: ActionContext): Promise<Error & { detail?: Result }> {
  return await execute(args, context).then(() => assert.fail("it succeeded"), (error) => error);
}

/** A context whose files are real, of up to 30 MB each. */
async function withFiles(use: (context: ActionContext, folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "http-save-"));
  const files = new RunFiles(folder, realDisk, 30_000_000);
  try {
    const services = {
      createFile: (file: NewFile) => files.create(file),
      readFile: (file: SavedFile) => files.read(file),
    };
    await use(makeContext({ services }), folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("http sends JSON and returns status, headers and parsed JSON", async () => {
  await withServer((_, response) => {
    response.writeHead(201, { "Content-Type": "application/problem+json; charset=utf-8", "X-Id": "7" });
    response.end('{"id":7}');
  }, async ({ origin, seen }) => {
    const result = await execute({ http: `POST ${origin}/orders`, json: { a: [1, null] } });
    assert.equal(result.status, 201);
    assert.equal(result.headers["x-id"], "7");
    assert.deepEqual(result.body, { id: 7 });
    assert.equal(seen[0].method, "POST");
    assert.equal(seen[0].headers["content-type"], "application/json");
    assert.equal(seen[0].body, '{"a":[1,null]}');
  });
});

Deno.test("http without a method is GET; other bodies are text, an empty one is null", async () => {
  await withServer(
    (request, response) => response.end(request.url === "/empty" ? "" : "zażółć"),
    async ({ origin, seen }) => {
      assert.equal((await execute({ http: origin })).body, "zażółć");
      assert.equal((await execute({ http: `${origin}/empty` })).body, null);
      assert.equal(seen[0].method, "GET");
    },
  );
});

Deno.test("http sends forms, text, query and headers", async () => {
  await withServer((_, response) => response.end(), async ({ origin, seen }) => {
    await execute({
      http: `POST ${origin}/a?x=1`,
      form: { a: "1 2", b: [3, 4] },
      query: { q: "ü&", none: null, n: 5 },
    });
    await execute({ http: `PUT ${origin}`, body: "text", headers: { "Content-Type": "text/csv", "X-A": "b" } });
    assert.equal(seen[0].url, "/a?x=1&q=%C3%BC%26&n=5");
    assert.equal(seen[0].body, "a=1+2&b=3&b=4");
    assert.equal(seen[0].headers["content-type"], "application/x-www-form-urlencoded;charset=UTF-8");
    assert.equal(seen[1].body, "text");
    assert.equal(seen[1].headers["content-type"], "text/csv");
    assert.equal(seen[1].headers["x-a"], "b");
  });
});

Deno.test("http sends bearer and basic credentials, also those in the URL", async () => {
  await withServer((_, response) => response.end(), async ({ origin, seen }) => {
    await execute({ http: origin, auth: { bearer: "token" } });
    await execute({ http: origin, auth: { basic: "anna:pä:ss" } });
    await execute({ http: origin.replace("//", "//anna:p%40ss@") });
    const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
    const sent = seen.map((request) => request.headers.authorization);
    assert.deepEqual(sent, ["Bearer token", basic("anna:pä:ss"), basic("anna:p@ss")]);
  });
});

Deno.test("the idempotency key is the same on each attempt, another for each step, and the user's own if set", async () => {
  await withServer((_, response) => response.end(), async ({ origin, seen }) => {
    const args = { http: `POST ${origin}` };
    await execute(args, makeContext({ attempt: 1, path: "lines[3]/save#2" }));
    await execute(args, makeContext({ attempt: 2, path: "lines[3]/save#2" }));
    await execute(args, makeContext({ path: "lines[4]/save" }));
    await execute({ ...args, headers: { "Idempotency-Key": "mine" } });
    await execute({ http: `GET ${origin}` });
    const keys = seen.map((request) => request.headers["idempotency-key"]);
    assert.equal(keys[0], keys[1]);
    assert.notEqual(keys[1], keys[2]);
    assert.equal(keys[3], "mine");
    assert.equal(keys[4], undefined);
  });
});

Deno.test("every request waits for its host's limit and carries the causality header, which a rule cannot set", async () => {
  await withServer((_, response) => response.end(), async ({ origin, seen }) => {
    const context = makeContext();
    await execute({ http: origin, headers: { "whenthen-cause": "forged" } }, context);
    assert.equal(seen[0].headers["whenthen-cause"], "1.r1.signed");
    assert.deepEqual(context.asked, [{ service: "admitRequest", with: `${origin}/` }]);
  });
});

Deno.test("a status that is not 2xx is a final failure with an excerpt and the whole result", async () => {
  await withServer((_, response) => {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: "no such order", more: "x".repeat(1_000) }));
  }, async ({ origin }) => {
    const error = await failureOf({ http: `${origin}/orders/7?token=s3cret` });
    assert.ok(error instanceof TerminalError);
    assert.match(
      error.message,
      /^GET http:\/\/127\.0\.0\.1:\d+\/orders\/7 answered 404 Not Found: \{"error":"no such order"/,
    );
    assert.ok(error.message.length < 300);
    assert.equal(error.detail!.status, 404);
    assert.equal((error.detail!.body as { error: string }).error, "no such order");
  });
});

Deno.test("a status in ok is not a failure", async () => {
  await withServer((_, response) => response.writeHead(404).end("gone"), async ({ origin }) => {
    assert.deepEqual((await execute({ http: origin, ok: [404] })).body, "gone");
  });
});

Deno.test("304 in ok comes back without a body", async () => {
  await withServer((_, response) => response.writeHead(304, { etag: '"1"' }).end(), async ({ origin }) => {
    const result = await execute({ http: origin, ok: [304] });
    assert.deepEqual([result.status, result.headers.etag, result.body], [304, '"1"', null]);
  });
});

for (const status of [408, 429, 500, 502, 503]) {
  Deno.test(`${status} is retried`, async () => {
    await withServer((_, response) => response.writeHead(status).end("later"), async ({ origin }) => {
      const error = await failureOf({ http: origin });
      assert.ok(!(error instanceof TerminalError) && !(error instanceof RetryAfterError));
    });
  });
}

Deno.test("Retry-After sets the time of the next attempt, in seconds or as a date by the server's clock", async () => {
  const date = new Date("2020-01-01T00:00:00Z").toUTCString();
  const later = new Date("2020-01-01T00:00:30Z").toUTCString();
  await withServer((request, response) => {
    if (request.url === "/seconds") response.writeHead(429, { "retry-after": "7" }).end();
    else response.writeHead(503, { date, "retry-after": later }).end();
  }, async ({ origin }) => {
    const seconds = await failureOf({ http: `${origin}/seconds` });
    assert.ok(seconds instanceof RetryAfterError);
    assert.equal(seconds.retryAfter, 7_000);
    assert.equal((seconds as { detail?: Result }).detail!.status, 429);
    const byDate = await failureOf({ http: `${origin}/date` });
    assert.ok(byDate instanceof RetryAfterError);
    assert.equal(byDate.retryAfter, 30_000);
  });
});

Deno.test("a refused connection is retried, and its message leaves the query out", async () => {
  let closed = "";
  await withServer(() => {}, ({ origin }) => Promise.resolve(void (closed = origin)));
  const error = await failureOf({ http: `POST ${closed}/a?token=s3cret` });
  assert.ok(!(error instanceof TerminalError));
  assert.match(error.message, /^Cannot POST http:\/\/127\.0\.0\.1:\d+\/a: /);
  assert.doesNotMatch(error.message, /s3cret/);
});

Deno.test("a redirect is followed: 303 and a POST's 302 by GET, 307 with method and body", async () => {
  await withServer((request, response) => {
    const [, from, status] = request.url.split("/");
    if (from === "from") response.writeHead(Number(status), { location: `/to/${status}` }).end("moved");
    else response.end("arrived");
  }, async ({ origin, seen }) => {
    for (const status of [302, 303, 307]) {
      const { body } = await execute({ http: `POST ${origin}/from/${status}`, json: 1, headers: { "X-Key": "k" } });
      assert.equal(body, "arrived");
    }
    const arrived = seen.filter((request) => request.url.startsWith("/to"));
    assert.deepEqual(arrived.map(({ method, body }) => [method, body]), [["GET", ""], ["GET", ""], ["POST", "1"]]);
    assert.deepEqual(arrived.map(({ headers }) => headers["x-key"]), ["k", "k", "k"]);
    assert.deepEqual(arrived.map(({ headers }) => headers["content-type"]), [undefined, undefined, "application/json"]);
  });
});

Deno.test("a redirect to another origin carries no credentials", async () => {
  await withServer((_, response) => response.end("there"), async (other) => {
    await withServer(
      (_, response) => response.writeHead(307, { location: `${other.origin}/x` }).end(),
      async (first) => {
        const context = makeContext();
        const headers = { "X-Api-Key": "k", cookie: "c", accept: "text/plain" };
        await execute({ http: `POST ${first.origin}`, auth: { bearer: "t" }, headers }, context);
        assert.equal(first.seen[0].headers["x-api-key"], "k");
        const { authorization, cookie, accept, ...rest } = other.seen[0].headers;
        assert.deepEqual([authorization, cookie, rest["x-api-key"], accept], [
          undefined,
          undefined,
          undefined,
          "text/plain",
        ]);
        assert.deepEqual(context.asked.map((asked) => asked.with), [`${first.origin}/`, `${other.origin}/x`]);
      },
    );
  });
});

Deno.test("circular redirects and redirects away from HTTP fail", async () => {
  await withServer((request, response) => {
    response.writeHead(302, { location: request.url === "/file" ? "file:///etc/passwd" : "/" }).end();
  }, async ({ origin, seen }) => {
    assert.match((await failureOf({ http: origin })).message, /over 20 redirects/);
    assert.equal(seen.length, 21);
    assert.match((await failureOf({ http: `${origin}/file` })).message, /redirects to file:, expected/);
  });
});

Deno.test("a redirect in ok is a result", async () => {
  await withServer((_, response) => response.writeHead(302, { location: "/x" }).end(), async ({ origin }) => {
    assert.equal((await execute({ http: origin, ok: [302] })).headers.location, "/x");
  });
});

Deno.test("abort ends a request that is never answered, and closes its connection", async () => {
  const abort = new AbortController();
  await withServer(() => abort.abort(new Error("timed out")), async ({ origin, abandoned }) => {
    const error = await failureOf({ http: origin }, makeContext({ signal: abort.signal }));
    assert.equal(error.message, "timed out");
    await abandoned;
  });
});

Deno.test("abort ends a response that arrives slowly, and closes its connection", async () => {
  const abort = new AbortController();
  await withServer((_, response) => {
    let drops = 0;
    const drip = () => {
      if (++drops === 5) abort.abort(new Error("timed out"));
      else response.write("drop\n", () => setImmediate(drip));
    };
    drip();
  }, async ({ origin, abandoned }) => {
    const error = await failureOf({ http: origin }, makeContext({ signal: abort.signal }));
    assert.equal(error.message, "timed out");
    await abandoned;
  });
});

Deno.test("an aborted signal sends nothing", async () => {
  await withServer((_, response) => response.end(), async ({ origin, seen }) => {
    const signal = AbortSignal.abort(new Error("cancelled"));
    assert.equal((await failureOf({ http: origin }, makeContext({ signal }))).message, "cancelled");
    assert.equal(seen.length, 0);
  });
});

Deno.test("reading an endless body stops at 10 MB, and the connection is closed", async () => {
  await withServer((_, response) => {
    const pour = () => !response.destroyed && response.write("x".repeat(1_000_000), pour);
    pour();
  }, async ({ origin, abandoned }) => {
    const error = await failureOf({ http: origin });
    assert.ok(error instanceof TerminalError);
    assert.match(error.message, /has over 10 MB, more than an http step takes; "save: name" would put it into a file/);
    await abandoned;
  });
});

Deno.test("save puts the body into a file, whole and decompressed, with its type", async () => {
  const content = Buffer.alloc(25_000_000, "0123456789\xff", "latin1");
  await withServer((request, response) => {
    if (request.url === "/empty") return response.writeHead(204).end();
    const isPacked = request.url === "/gzip";
    response.writeHead(200, { "content-type": "application/pdf", ...isPacked && { "content-encoding": "gzip" } });
    response.end(isPacked ? gzipSync(content) : content);
  }, async ({ origin }) => {
    await withFiles(async (context) => {
      const sha256 = createHash("sha256").update(content).digest("hex");
      for (const path of ["/plain", "/gzip"]) {
        const { status, headers, body } = await execute({ http: origin + path, save: "a.pdf" }, context);
        const file = body as SavedFile;
        assert.equal(status, 200);
        assert.equal(headers["content-type"], "application/pdf");
        const bytes = content.length;
        assert.deepEqual(file, { path: file.path, name: "a.pdf", type: "application/pdf", bytes, sha256 });
        assert.ok((await readFile(file.path)).equals(content));
      }
      const { body } = await execute({ http: `${origin}/empty`, save: "none" }, context);
      const { bytes, type } = body as SavedFile;
      assert.deepEqual([bytes, type], [0, "application/octet-stream"]);
    });
  });
});

Deno.test("multipart sends texts and files byte for byte, on each attempt and through a redirect", async () => {
  const photo = Buffer.from([0xff, 0xd8, 0, 13, 10, 45, 45, 255]);
  await withServer((request, response) => {
    if (request.url === "/photo") return response.writeHead(200, { "content-type": "image/jpeg" }).end(photo);
    if (request.url === "/moved") return response.writeHead(307, { location: "/upload" }).end();
    response.end("taken");
  }, async ({ origin, seen }) => {
    await withFiles(async (context) => {
      const get = await execute({ http: `${origin}/photo`, save: "grüße.jpg" }, context);
      const multipart: Record<string, unknown> = {
        title: "Grüße",
        tags: ["a", "b"],
        count: 2,
        none: null,
        meta: { x: 1 },
        photo: get,
        copy: { ...get.body as SavedFile, type: "multipart/related; boundary=AbC" },
        'a "b"': "1\n2",
      };
      await execute({ http: `POST ${origin}/moved`, multipart: multipart as JsonObject }, context);
      for (const { headers, bytes } of seen.slice(1)) {
        const { fields, files } = await readMultipart(bytes, headers["content-type"]!);
        assert.deepEqual(fields, {
          title: "Grüße",
          tags: ["a", "b"],
          count: "2",
          meta: '{"x":1}',
          "a %22b%22": "1\r\n2",
        });
        assert.deepEqual(files.map(({ field, name, type }) => [field, name, type]), [
          ["photo", "grüße.jpg", "image/jpeg"],
          ["copy", "grüße.jpg", "multipart/related"],
        ]);
        assert.match(bytes.toString("latin1"), /^Content-Type: multipart\/related; boundary=AbC\r$/m);
        for (const { bytes } of files) assert.deepEqual(Buffer.from(bytes), photo);
      }
      assert.deepEqual(seen.map(({ method, url }) => `${method} ${url}`), [
        "GET /photo",
        "POST /moved",
        "POST /upload",
      ]);
    });
  });
});

Deno.test("multipart reads no file but those of the program, unchanged; a result without a file is a mistake", async () => {
  await withServer((_, response) => response.end("x"), async ({ origin, seen }) => {
    await withFiles(async (context, folder) => {
      const saved = (await execute({ http: origin, save: "a.txt" }, context)).body as SavedFile;
      const failure = async (file: unknown) => {
        const error = await failureOf({ http: `POST ${origin}/`, multipart: { file } } as JsonObject, context);
        assert.ok(error instanceof TerminalError);
        return error.message;
      };
      const passwords = { ...saved, path: "/etc/passwd", name: "passwd" };
      const notOurs = 'Cannot read the file "passwd": it is not one that a run has saved or a sender has uploaded';
      assert.equal(await failure(passwords), notOurs);
      assert.equal(await failure({ ...passwords, path: `${folder}/../../etc/passwd` }), notOurs);
      const moved = { ...saved, path: `/before/${basename(folder)}${saved.path.slice(folder.length)}` };
      await execute({ http: `POST ${origin}/moved`, multipart: { file: moved } } as JsonObject, context);
      assert.match(seen.pop()!.body, /\r\nx\r\n/, "the data folder was another one when the path was recorded");
      await writeFile(saved.path, "y");
      assert.equal(await failure(saved), 'Cannot read the file "a.txt": it has changed since it was saved');
      await writeFile(saved.path, "longer");
      assert.equal(await failure(saved), 'Cannot read the file "a.txt": it has changed since it was saved');
      await rm(saved.path);
      assert.equal(await failure(saved), 'Cannot read the file "a.txt": it is no longer there');
      assert.equal(
        await failure({ status: 200, headers: {}, body: "text" }),
        `Cannot POST ${origin}/: "file" of multipart is the result of a step that has saved no file; add save: name there`,
      );
      assert.match(await failure({ code: 0, stdout: "", stderr: "", json: null }), /has saved no file/);
      assert.match(await failure({ ...saved, bytes: 200_000_000 }), /its files have over 100 MB/);
      assert.equal(seen.length, 1);
      const own = { status: "open", headers: [], body: "text" };
      const more = { status: 1, headers: {}, body: "text", title: "x" };
      await execute({ http: `POST ${origin}/`, multipart: { own, more } }, context);
      const type = seen[1].headers["content-type"]!;
      const { fields } = await readMultipart(Buffer.from(seen[1].body), type);
      assert.deepEqual(fields, { own: JSON.stringify(own), more: JSON.stringify(more) });
    });
  });
});

Deno.test("multipart excludes other bodies, GET, and a content type of one's own", () => {
  const check = (args: JsonObject) =>
    http.check!({ http: "POST https://example.org", multipart: { a: 1 }, ...args }, 0);
  assert.deepEqual(check({}), []);
  assert.match(check({ json: {} })[0], /"json" and "multipart" exclude each other/);
  assert.match(check({ http: "https://example.org" })[0], /"multipart" needs a method that carries a body/);
  assert.match(
    check({ headers: { "Content-Type": "multipart/form-data" } })[0],
    /^headers: "multipart" sets content-type/,
  );
});

Deno.test("a response that fails, breaks off or never ends leaves no file", async () => {
  await withServer((request, response) => {
    if (request.url === "/500") return response.writeHead(500).end("broken");
    if (request.url === "/short") {
      response.writeHead(200, { "content-length": "5000000" }).write("x".repeat(2_000_000));
      return setImmediate(() => response.destroy());
    }
    const pour = () => !response.destroyed && response.write("x".repeat(1_000_000), pour);
    pour();
  }, async ({ origin, abandoned }) => {
    await withFiles(async (context, folder) => {
      const failed = await failureOf({ http: `${origin}/500`, save: "a" }, context);
      assert.equal(failed.detail!.body, "broken");
      assert.match(
        (await failureOf({ http: `${origin}/short`, save: "a" }, context)).message,
        /broke off after|Cannot GET/,
      );
      const endless = await failureOf({ http: `${origin}/endless`, save: "a" }, context);
      assert.ok(endless instanceof TerminalError);
      assert.match(endless.message, /^Cannot save the answer to GET .* as "a": it has over 30000000 bytes/);
      await abandoned;
      const abort = new AbortController();
      const aborted = failureOf({ http: `${origin}/endless`, save: "a" }, { ...context, signal: abort.signal });
      abort.abort(new Error("timed out"));
      assert.equal((await aborted).message, "timed out");
      const names = await readdir(folder, { recursive: true, withFileTypes: true });
      assert.deepEqual(names.filter((entry) => entry.isFile()), []);
    });
  });
});

Deno.test("save excludes format and charset", () => {
  const check = (args: JsonObject) => http.check!({ http: "https://example.org/", save: "a", ...args }, 0);
  assert.deepEqual(check({}), []);
  assert.match(check({ format: "csv" })[0], /^format: "save" writes the body to a file/);
  assert.match(check({ charset: "latin1" })[0], /^charset: "save" writes the body to a file/);
});

Deno.test("an endless body of a failure does not hide the failure", async () => {
  await withServer((_, response) => {
    response.writeHead(500);
    const pour = () => !response.destroyed && response.write("x".repeat(1_000_000), pour);
    pour();
  }, async ({ origin, abandoned }) => {
    const error = await failureOf({ http: origin });
    assert.match(error.message, /answered 500/);
    assert.equal((error.detail!.body as string).length, 64_000);
    assert.equal((error.detail as { truncated?: boolean }).truncated, true);
    await abandoned;
  });
});

Deno.test("a compressed response is decompressed; one that exceeds the limit fails", async () => {
  await withServer((request, response) => {
    if (request.url === "/bomb") return void response.writeHead(200, { "content-encoding": "gzip" }).end(BOMB);
    const encoding = request.url.slice(1);
    const compress = encoding === "br" ? brotliCompressSync : gzipSync;
    response.writeHead(200, { "content-encoding": encoding }).end(compress("plain"));
  }, async ({ origin }) => {
    assert.equal((await execute({ http: `${origin}/gzip` })).body, "plain");
    assert.equal((await execute({ http: `${origin}/br` })).body, "plain");
    assert.match((await failureOf({ http: `${origin}/bomb` })).message, /has over 10 MB/);
  });
});
const BOMB = gzipSync(Buffer.alloc(20_000_000));

Deno.test("a body that is not the JSON its content type says is a final failure that shows the body", async () => {
  await withServer((request, response) => {
    response.writeHead(request.url === "/500" ? 500 : 200, { "content-type": "application/json" }).end("<html>oops");
  }, async ({ origin }) => {
    const error = await failureOf({ http: origin });
    assert.ok(error instanceof TerminalError);
    assert.match(
      error.message,
      /Cannot read the answer to GET .* as JSON, which its content type says it is: .*<html>oops/,
    );
    assert.equal((await failureOf({ http: `${origin}/500` })).detail!.body, "<html>oops");
  });
});

Deno.test("a body that cannot be unpacked is named as such", async () => {
  const whole = gzipSync('{"a": "a long enough text"}');
  await withServer((request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
    response.end(request.url === "/cut" ? whole.subarray(0, 15) : "plain text");
  }, async ({ origin }) => {
    for (const path of ["cut", "plain"]) {
      const { message } = await failureOf({ http: `${origin}/${path}` });
      assert.match(message, /^The answer to GET \S+ cannot be unpacked: it is not valid gzip, or cut off \(/);
      assert.doesNotMatch(message, /verbose/);
    }
  });
});

Deno.test("format with options, feeds relative to their address, and warnings in the log", async () => {
  const answers: Record<string, string | Uint8Array> = {
    "/table": "Report\nid|name\n1|a|b\n",
    "/feed": "<rss><channel><title>x</title><item><link>/a</link></item></channel></rss>",
    "/xml": '<orders><order id="1"/></orders>',
    "/json": new Uint8Array([...Buffer.from('{"a":"'), 0xcf, 0xf0, 0xe8, ...Buffer.from('"}')]),
  };
  const logged: string[] = [];
  const context = makeContext({ services: { log: (_level, message) => logged.push(message) } });
  await withServer((request, response) => response.end(answers[request.url!]), async ({ origin }) => {
    const csv = { skip: 1, delimiter: "|", relaxed: true };
    const table = await execute({ http: `${origin}/table`, format: { csv } }, context);
    assert.deepEqual(table.body, [{ id: "1", name: "a", column_3: "b" }]);
    assert.deepEqual(logged, [
      `GET ${origin}/table: line 3 has more or fewer values than the 2 columns of the table`,
    ]);
    const feed = (await execute({ http: `${origin}/feed`, format: "feed" })).body as { items: JsonObject[] };
    assert.equal(feed.items[0].link, `${origin}/a`);
    const xml = await execute({ http: `${origin}/xml`, format: { xml: { lists: ["order"] } } });
    assert.deepEqual(xml.body, { orders: { order: [{ "@id": "1" }] } });
    const json = await execute({ http: `${origin}/json`, format: "json", charset: "windows-1251" });
    assert.deepEqual(json.body, { a: "При" });
    assert.equal((await execute({ http: `${origin}/xml`, format: "base64" })).body, btoa(answers["/xml"] as string));
  });
});

Deno.test("a connection that breaks in the middle of the body is retried", async () => {
  await withServer((_, response) => {
    response.writeHead(200, { "content-length": "1000", "content-type": "application/json" });
    response.write('{"a":', () => response.destroy());
  }, async ({ origin }) => {
    const error = await failureOf({ http: origin });
    assert.ok(!(error instanceof TerminalError));
    assert.match(error.message, /^The answer to GET .* broke off after \d bytes/);
  });
});

Deno.test("format reads the body whatever its content type says", async () => {
  await withServer((_, response) => response.end("a,b\n1,2\n"), async ({ origin }) => {
    assert.deepEqual((await execute({ http: origin, format: "csv" })).body, [{ a: "1", b: "2" }]);
    assert.deepEqual((await execute({ http: origin, format: { csv: { columns: ["b"] } } })).body, [{ a: "1", b: "2" }]);
    const lacking = await failureOf({ http: origin, format: { csv: { columns: ["id", "b"] } } });
    assert.match(lacking.message, /as csv: expected csv with the columns "id", "b", got "a", "b": "id" is missing$/);
    assert.deepEqual((await execute({ http: origin, format: "lines" })).body, ["a,b", "1,2"]);
    assert.ok(await failureOf({ http: origin, format: "json" }) instanceof TerminalError);
  });
});

Deno.test("a charset other than UTF-8 is read", async () => {
  await withServer((_, response) => {
    response.writeHead(200, { "content-type": "text/plain; charset=ISO-8859-2" }).end(Buffer.from([0xbf, 0xf3, 0xb3]));
  }, async ({ origin }) => assert.equal((await execute({ http: origin })).body, "żół"));
});

Deno.test("a body is decoded by its byte order mark, its XML declaration, or the step's charset", async () => {
  const answers: Record<string, Uint8Array> = {
    "/marked": Buffer.from("fffe7a017c01", "hex"),
    "/declared": Buffer.concat([Buffer.from('<?xml version="1.0" encoding="koi8-r"?>'), Buffer.from([0xd0])]),
    "/plain": Buffer.from([0xbf]),
  };
  await withServer((request, response) => {
    response.writeHead(200, { "content-type": "text/plain" }).end(answers[request.url!]);
  }, async ({ origin }) => {
    assert.equal((await execute({ http: `${origin}/marked` })).body, "źż");
    assert.equal((await execute({ http: `${origin}/declared` })).body, '<?xml version="1.0" encoding="koi8-r"?>п');
    assert.equal((await execute({ http: `${origin}/plain`, charset: "iso-8859-2" })).body, "ż");
    const error = await failureOf({ http: `${origin}/plain` });
    assert.ok(error instanceof TerminalError);
    assert.match(error.message, /Cannot read the answer to GET .*: it is not text in utf-8; "charset" can say/);
  });
});

Deno.test("a response that is not text becomes base64; format and charset still read it as text", async () => {
  const bytes = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x00, 0xff]);
  const cases: [string | undefined, Uint8Array, unknown][] = [
    ["image/png", bytes, bytes.toString("base64")],
    ["application/octet-stream", Buffer.from("text"), Buffer.from("text").toString("base64")],
    [undefined, bytes, bytes.toString("base64")],
    [undefined, Buffer.from("ż"), "ż"],
    ["application/yaml", Buffer.from("a: ż"), "a: ż"],
    ["image/svg+xml", Buffer.from("<svg/>"), "<svg/>"],
    ["application/x-own; charset=iso-8859-2", Buffer.from([0xbf]), "ż"],
    ["image/png", Buffer.alloc(0), null],
  ];
  for (const [type, answer, body] of cases) {
    await withServer((_, response) => {
      response.writeHead(200, { ...(type !== undefined && { "content-type": type }) }).end(answer);
    }, async ({ origin }) => assert.deepEqual((await execute({ http: origin })).body, body, type ?? "no type"));
  }
  await withServer((_, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" }).end(Buffer.from("a\n1\n"));
  }, async ({ origin }) => {
    assert.deepEqual((await execute({ http: origin, format: "csv" })).body, [{ a: "1" }]);
    assert.equal((await execute({ http: origin, charset: "utf-8" })).body, "a\n1\n");
  });
});

Deno.test("if the body of a failure is not text, it is base64 in the detail and absent from the message", async () => {
  const bytes = Buffer.from([0x1f, 0x8b, 0xff]);
  await withServer((request, response) => {
    response.writeHead(400, { "content-type": request.url === "/text" ? "text/plain" : "image/png" }).end(bytes);
  }, async ({ origin }) => {
    for (const path of ["/text", "/image"]) {
      const error = await failureOf({ http: origin + path });
      assert.match(error.message, /answered 400 Bad Request$/);
      assert.equal(error.detail!.body, bytes.toString("base64"));
    }
  });
});

Deno.test("several Set-Cookie headers are a list, a single one is a string", async () => {
  await withServer(
    ({ url }, response) => response.writeHead(200, { "set-cookie": url === "/one" ? ["a=1"] : ["a=1", "b=2"] }).end(),
    async ({ origin }) => {
      assert.deepEqual((await execute({ http: origin })).headers["set-cookie"], ["a=1", "b=2"]);
      assert.equal((await execute({ http: `${origin}/one` })).headers["set-cookie"], "a=1");
    },
  );
});

Deno.test("a request that cannot be sent is refused before anything is sent", async () => {
  const refused: [JsonObject, RegExp][] = [
    [{ http: "POST /relative" }, /expected a URL with http:\/\/ or https:\/\//],
    [{ http: "ftp://example.org/" }, /expected a URL with http/],
    [{ http: "https://example.org/", json: 1 }, /"json" needs a method that carries a body, such as POST, got GET/],
    [{ http: "POST https://example.org/", json: 1, body: "x" }, /"json" and "body" exclude each other/],
    [
      { http: "https://example.org/", headers: { "X-A": "a\nb" } },
      /Cannot send ".*" with the header "X-A" with the value "a\\nb"/,
    ],
    [{ http: "https://example.org/", auth: { basic: "anna" } }, /expected "user:password" in auth.basic, got no colon/],
  ];
  for (const [args, message] of refused) {
    const error = await failureOf(args);
    assert.ok(error instanceof TerminalError, error.message);
    assert.match(error.message, message);
  }
});

/** Tokens `t1`, then `t2` after a refusal. */
function tokens(asked: string[]) {
  return {
    token(name: string, url: URL, _signal: AbortSignal, refused?: string) {
      asked.push(`${name} ${url.host}${refused === undefined ? "" : ` after ${refused}`}`);
      return Promise.resolve(refused === undefined ? "t1" : "t2");
    },
  };
}

function executeWithTokens(args: JsonObject, asked: string[] = []) {
  return http.execute(args, makeContext({ services: { connections: tokens(asked) } }));
}

Deno.test("http sends the token of a connection; after 401 it renews it and sends the whole request once more", async () => {
  await withServer((request, response) => {
    response.statusCode = request.headers.authorization === "Bearer t2" ? 200 : 401;
    response.end("{}");
  }, async ({ origin, seen }) => {
    const asked: string[] = [];
    const { host } = new URL(origin);
    await executeWithTokens({ http: `POST ${origin}/tasks`, json: { a: 1 }, auth: { connection: "asana" } }, asked);
    assert.deepEqual(seen.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t2"]);
    assert.deepEqual(seen.map(({ body }) => body), ['{"a":1}', '{"a":1}']);
    assert.equal(seen[0].headers["idempotency-key"], seen[1].headers["idempotency-key"]);
    assert.deepEqual(asked, [`asana ${host}`, `asana ${host} after t1`]);
  });
});

Deno.test("a redirect on the same host keeps the token of a connection, one to another host never gets it", async () => {
  await withServer((request, response) => response.end(request.url), async (other) => {
    await withServer((request, response) => {
      const location = request.url === "/here" ? "/there" : `${other.origin}/elsewhere`;
      if (request.url === "/there") response.end("{}");
      else response.writeHead(307, { location }).end();
    }, async ({ origin, seen }) => {
      const asked: string[] = [];
      await executeWithTokens({ http: `GET ${origin}/here`, auth: { connection: "asana" } }, asked);
      assert.deepEqual(seen.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t1"]);
      await executeWithTokens({ http: `POST ${origin}/away`, json: 1, auth: { connection: "asana" } }, asked);
      assert.equal(seen[2].headers.authorization, "Bearer t1");
      assert.equal(other.seen[0].headers.authorization, undefined);
      // A 401 there is no reason to renew a token that it never got.
      assert.equal(asked.length, 3);
    });
  });
});

Deno.test("a connection without a token fails the step at once, with its sentence", async () => {
  const sentence = 'Cannot use the connection "asana": it is lost: …; connect it with: whenthen connect asana';
  const connections = { token: () => Promise.reject(new ConnectionError(sentence)) };
  const args = { http: "GET https://app.asana.com/", auth: { connection: "asana" } };
  const failing = http.execute(args, makeContext({ services: { connections } }));
  await assert.rejects(failing as Promise<unknown>, { name: "ConnectionError", message: sentence });
});

const NOW = Date.parse("2026-11-21T07:00:00Z");
const read = (headers: Record<string, string>) => readRetryAfter(new Headers(headers), NOW);

Deno.test("Retry-After in seconds", () => {
  assert.equal(read({ "retry-after": "120" }), 120_000);
  assert.equal(read({ "retry-after": " 0 " }), 0);
});

Deno.test("Retry-After as a date counts from the answer's Date, else from now, and never backwards", () => {
  const until = new Date(NOW + 60_000).toUTCString();
  assert.equal(read({ "retry-after": until }), 60_000);
  assert.equal(read({ "retry-after": until, date: new Date(NOW + 50_000).toUTCString() }), 10_000);
  assert.equal(read({ "retry-after": new Date(NOW - 1).toUTCString() }), 0);
});

Deno.test("a Retry-After of over a day counts as a day, an invalid one is ignored", () => {
  assert.equal(read({ "retry-after": "99999999999999999999" }), 86_400_000);
  assert.equal(read({ "retry-after": "soon" }), undefined);
  assert.equal(read({ "retry-after": "-5" }), undefined);
  assert.equal(read({}), undefined);
});
