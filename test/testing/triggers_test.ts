import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

Deno.test("cron, every and at fire by themselves as the clock advances; start fires at the beginning", async () => {
  const report = await simulate({
    "a.yaml": `when:
  - { cron: "0 9 * * 1", timezone: Europe/Berlin }
  - { every: 2d }
  - { at: "2027-01-06T00:00:00Z" }
  - start
then: [{ log: "\${{ event.type }} \${{ event.time }}" }]
tests:
  - name: a week
    do:
      - expect: { logs: [start 2027-01-04T09:00] }
        exact: true
      - advance: 7d
      - expect:
          logs:
            - start 2027-01-04T09:00
            - at 2027-01-06T00:00
            - every 2027-01-06T09:00
            - every 2027-01-08T09:00
            - every 2027-01-10T09:00
            - cron 2027-01-11T08:00
        exact: true
      - advance: 2027-01-12
      - expect: { run: succeeded, runs: [succeeded, succeeded, succeeded, succeeded, succeeded, succeeded] }
`,
  });
  assert.deepEqual(outcomes(report), ["a week"]);
});

Deno.test("six days of hourly runs take well under a second", async () => {
  const report = await simulate({
    "a.yaml": `when: { every: 1h }
then: [{ http: POST https://example.org/ }]
tests:
  - { name: warm, stub: { http: {} }, do: [{ advance: 2h }] }
  - { name: six days, stub: { http: {} }, do: [{ advance: 6d }, { expect: { run: succeeded } }] }
`,
  });
  assert.deepEqual(outcomes(report), ["warm", "six days"]);
  console.log(`144 runs took ${Math.round(report.results[1].took)} ms`);
});

Deno.test("an event of any trigger can be sent: by name, by kind, by hand, with defaults for what the test leaves out", async () => {
  const report = await simulate({
    "a.yaml": `when:
  - { cron: "0 8 * * *", name: morning }
  - { poll: https://example.org/prices, key: item.id, name: prices }
  - { watch: ./inbox/*.csv }
  - manual
then: [{ log: "\${{ event.type }} \${{ json(event.data) }} \${{ default(event.subject, '-') }}" }]
tests:
  - name: all of them
    do:
      - send: { trigger: morning }
      - send: { trigger: prices, subject: a1, data: { old: { id: a1, n: 1 }, new: { id: a1, n: 2 } } }
      - send: { trigger: poll, data: { new: { id: b } } }
      - send: { trigger: watch, type: removed, data: { name: x.csv } }
      - send: { trigger: manual, data: 5 }
      - send: { data: by hand }
      - expect:
          logs:
            - cron {"scheduled":"2027-01-04T09:00:00.000Z"} -
            - changed {"old":{"id":"a1","n":1},"new":{"id":"a1","n":2},"diff":{"n":[1,2]}} a1
            - added {"old":null,"new":{"id":"b"},"diff":null} -
            - removed {"name":"x.csv"} -
            - manual 5 -
            - manual "by hand" -
        exact: true
  - name: the same id is the same event
    do:
      - send: { trigger: manual, id: m1 }
      - send: { trigger: manual, id: m1 }
      - expect: { verdict: duplicate, runs: [succeeded] }
`,
  });
  assert.deepEqual(outcomes(report), ["all of them", "the same id is the same event"]);
});

Deno.test("a poll with a stubbed source polls as the clock advances", async () => {
  const report = await simulate({
    "a.yaml":
      `when: { poll: https://example.org/prices, every: 10m, items: body.list, key: item.id, on: [changed, added] }
then: [{ log: "\${{ event.type }} \${{ event.subject }} \${{ event.data.new.n }}" }]
tests:
  - name: sees what changed
    stub:
      poll:
        - { body: { list: [{ id: a, n: 1 }] } }
        - { status: 500 }
        - { body: { list: [{ id: a, n: 2 }, { id: b, n: 1 }] } }
    do:
      - advance: 10m
      - expect: { runs: [] }
      - advance: 10m
      - expect: { logs: [changed a 2, added b 1] }
  - name: is not polled without
    do: [{ advance: 1d }, { expect: { runs: [], logs: [] } }]
`,
  });
  assert.deepEqual(outcomes(report), ["sees what changed", "is not polled without"]);
});

Deno.test("requests are signed by every scheme; unsigned ones are refused", async () => {
  const schemes = ["standard", "github", "gitlab", "stripe", "slack", "shopify", "telegram", "basic", "bearer"];
  const auths = [
    ...schemes,
    "{ token: X-Key }",
    '{ hmac: sha512, header: X-Sig, encoding: base64, prefix: "v=" }',
    '{ hmac: sha256, header: X-Sig, signed: "v0:{timestamp}:{body}", timestamp: X-Time }',
  ];
  const rules = auths.map((auth, index) => [
    `r${index}.yaml`,
    `when: { webhook: /in${index}/:who, auth: ${auth}, secret: KEY }
then: [{ log: "\${{ event.type }} from \${{ event.http.params.who }}: \${{ event.data.n }}" }]
tests:
  - name: signed
    do:
      - send: { webhook: /in${index}/anna, json: { n: 7 } }
      - expect: { run: succeeded, response: { status: 202, json: { duplicate: false } }, logs: ["from anna: 7"] }
  - name: not signed
    do:
      - send: { webhook: /in${index}/anna, json: { n: 7 }, signed: false }
      - expect: { runs: [], response: { status: 401 } }
`,
  ]);
  const report = await simulate(Object.fromEntries(rules));
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), auths.flatMap(() => ["signed", "not signed"]));
});

Deno.test("files come with a form, signed; they are sent on by multipart and attach, and asked for by a form", async () => {
  const report = await simulate({
    "a.yaml": `when: { webhook: /photo, auth: github, secret: KEY }
then:
  - log: "\${{ event.data.title }} \${{ event.files.photo.name }} \${{ event.files.photo.bytes }} \${{ size(event.files.more) }}"
  - { http: POST https://example.org/, multipart: { photo: "\${{ event.files.photo }}" } }
  - { id: ask, form: Another one?, to: anna@example.org, fields: { photo: { type: file, max: 5 } } }
  - { mail: anna@example.org, text: here, attach: ["\${{ steps.ask.photo }}", "\${{ event.files.photo }}"] }
tests:
  - name: a photo
    stub: { http: {}, mail: {} }
    do:
      - send: { webhook: /photo, form: { title: Grüße }, files: { photo: { name: a.jpg, type: image/jpeg, text: ünï }, more: [x, y] } }
      - expect: { logs: ["Grüße a.jpg 5 2"], form: { step: ask }, calls: [{ multipart: { photo: { name: a.jpg, type: image/jpeg, bytes: 5 } } }] }
      - { answer: ask, as: anna@example.org, with: { photo: too long }, refused: invalid }
      - { answer: ask, as: anna@example.org, with: { photo: { name: b.jpg, text: b } } }
      - expect: { run: succeeded, calls: [{}, { attach: [{ name: b.jpg, bytes: 1 }, { name: a.jpg }] }] }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["a photo"]);
});

Deno.test("a webhook is answered by the reply step, else after replyWithin on the simulated clock", async () => {
  const report = await simulate({
    "a.yaml": `when: { webhook: /price/:sku, method: GET, auth: none, replyWithin: 5s }
then:
  - { id: look, http: "https://example.org/\${{ event.http.params.sku }}", retry: { attempts: 2, delay: 1m } }
  - { reply: 200, json: { price: "\${{ steps.look.body }}", shop: "\${{ event.http.query.shop }}" } }
tests:
  - name: at once
    stub: { http: { body: 7 } }
    do:
      - send: { webhook: /price/a, query: { shop: [x, y] } }
      - expect: { response: { status: 200, json: { price: 7, shop: [x, y] } }, calls: [{ http: "https://example.org/a" }], steps: { reply: { output: { sent: true } } } }
  - name: late
    stub: { http: [{ status: 500 }, {}] }
    do:
      - send: { webhook: /price/a, method: GET, query: { shop: x }, headers: { X-Id: "1" } }
      - expect: { response: none, run: waiting }
      - advance: 4s
      - expect: { response: none }
      - advance: 1s
      - expect: { response: { status: 202 }, run: waiting }
      - advance: 1m
      - expect: { response: { status: 202 }, run: succeeded, steps: { reply: { output: { status: 200, sent: false } } } }
  - name: failed before the reply
    stub: { http: { status: 404 } }
    do:
      - send: { webhook: /price/a }
      - expect: { run: failed, response: { status: 500, json: { error: The run failed before its reply } } }
  - name: nobody listens
    do: [{ send: { webhook: /prices } }, { expect: { response: { status: 404 } } }]
  - name: another method
    do: [{ send: { webhook: /price/a, method: PUT } }, { expect: { response: { status: 405 } } }]
`,
  });
  assert.deepEqual(report.problems.map(({ message }) => message), []);
  assert.deepEqual(outcomes(report), [
    "at once",
    "late",
    "failed before the reply",
    "nobody listens",
    "another method",
  ]);
});

Deno.test("mode, key, limit and batch work on the simulated clock; emitted events reach the rule itself", async () => {
  const report = await simulate({
    "single.yaml": `when: { event: a }
mode: single
key: event.data.k
then: [{ id: ask, http: https://example.org/, retry: { attempts: 2, delay: 1m } }]
tests:
  - name: one at a time for each key
    stub: { ask: [{ status: 500 }, {}, {}] }
    do:
      - send: { type: a, data: { k: 1 } }
      - send: { type: a, data: { k: 1 } }
      - expect: { verdict: busy, runs: [waiting] }
      - send: { type: a, data: { k: 2 } }
      - expect: { verdict: started, runs: [waiting, succeeded] }
      - advance: 1m
      - expect: { runs: [succeeded, succeeded] }
`,
    "limited.yaml": `when: { event: a }
limit: 1/h
then: [{ log: hi }]
tests:
  - name: held
    do:
      - send: { type: a }
      - send: { type: a }
      - expect: { verdict: held, runs: [succeeded, queued] }
      - advance: 1h
      - expect: { runs: [succeeded, succeeded] }
`,
    "digest.yaml": `when: { event: a, batch: { every: 1h } }
then: [{ log: "\${{ size(event.data.events) }}" }]
tests:
  - name: collected
    do:
      - send: { type: a }
      - advance: 30m
      - send: { type: a }
      - expect: { verdict: batched, run: none }
      - advance: 30m
      - expect: { run: succeeded, logs: ["2"] }
`,
    "chain.yaml": `when: { event: count }
mode: queued
then:
  - { if: event.data.n < 3, emit: count, data: { n: "\${{ event.data.n + 1 }}" } }
  - { state: last, value: "\${{ event.data.n }}" }
tests:
  - name: counts
    do:
      - send: { type: count, data: { n: 1 } }
      - expect:
          runs: [succeeded, succeeded, succeeded]
          events: [{ type: count, data: { n: 2 } }, { data: { n: 3 } }]
          state: { last: 3 }
        exact: true
`,
  });
  assert.deepEqual(report.problems.map(({ message }) => message), []);
  assert.deepEqual(outcomes(report), ["counts", "collected", "held", "one at a time for each key"]);
});
