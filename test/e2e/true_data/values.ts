import { createHmac } from "node:crypto";
import { stat } from "node:fs/promises";
import { type Case, type Part } from "./lab.ts";

const MB = 1_000_000;
const BIG = '{"id":9007199254740993,"n":12345678901234567890,"neg":-9007199254740993,"f":1.5}';
const FORM = { "content-type": "application/x-www-form-urlencoded" };

const signature = (body: string) =>
  `sha256=${createHmac("sha256", "a-hook-secret-of-some-length").update(body).digest("hex")}`;

const masking: Case[] = [
  {
    kind: 1,
    input: "a city that is equal to the secret REGION, in conditions, commands, requests, events and replies",
    expected: { city: "lisbon", counted: "6", sent: "lisbon", emitted: "lisbon" },
    got: (lab) => lab.reply("/city", { city: "lisbon" }),
  },
  {
    kind: 1,
    input: "the same city, as a request's path",
    expected: "/cities/lisbon",
    got: async ({ peer }) => (await peer.waitFor(1, ({ path }) => path.startsWith("/cities/")))[0].path,
  },
  {
    kind: 1,
    input: "the same city in the log and in the API",
    expected: ["in ***", "***", "***"],
    async got({ program }) {
      const { message } = await program.waitFor(
        "the log",
        ({ properties: { rule, step } }) => rule === "city" && !!step,
      );
      const [{ id }] = await program.api("runs?rule=city");
      const { run: { event }, steps } = await program.api(`runs/${id}`);
      return [message, event.data.city, steps.find(({ path }: { path: string }) => path === "cat").output.stdout];
    },
  },
  {
    kind: 1,
    input: "badminton, where admin is a secret",
    expected: "badminton",
    got: async (lab) => (await lab.reply("/echo", { sport: "badminton" })).data.sport,
  },
  {
    kind: 1,
    input: "the secret p/w&d-5512 with \\/ and \\u0026, percent-encoded, in base64 with line breaks, in hex",
    expected: "*** *** *** *** ***",
    async got({ program }) {
      const spelt = String.raw`p\/w\u0026d-5512 p%2Fw%26d-5512 p/w%26d-5512 cC93\nJmQtNTUxMg== 702f7726642d35353132`;
      await program.post("/hooks/spelt", { text: spelt.replace(String.raw`\n`, "\n") });
      const { message } = await program.waitFor(
        "the log",
        ({ properties: { rule, step } }) => rule === "spelt" && !!step,
      );
      return message;
    },
  },
  {
    kind: 1,
    input: "a secret of five letters",
    expected: /warning: the secret ADMIN has under 8 characters/,
    got: async ({ program }) => (await program.waitForMessage("the secret ADMIN")).message,
  },
  {
    kind: 1,
    input: "the data folder and its log",
    expected: ["700", "600"],
    async got({ folder: { data } }) {
      const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
      return [await mode(data), await mode(`${data}/log-000000000001`)];
    },
  },
];

const headers: Case[] = [
  {
    kind: 2,
    input: "headers whose names sound like secrets",
    expected: { "x-gitlab-token": "a", "x-api-key": "b", "x-goog-signature": "c", "x-secret-santa": "d" },
    async got(lab) {
      const sent = { "x-gitlab-token": "a", "x-api-key": "b", "x-goog-signature": "c", "x-secret-santa": "d" };
      const { headers } = await lab.reply("/echo", {}, sent);
      return Object.fromEntries(Object.keys(sent).map((name) => [name, headers[name]]));
    },
  },
  {
    kind: 2,
    input: "Authorization, Cookie and the signature that auth verified",
    expected: [["authorization", "cookie", "x-hub-signature-256"], [undefined, undefined, undefined], "kept"],
    async got(lab) {
      const sent = { authorization: "Bearer x", cookie: "a=1", "x-hub-signature-256": signature("{}") };
      const { headers, leftOut } = await lab.reply("/signed", "{}", { ...sent, "x-hub-signature": "kept" });
      return [leftOut, Object.keys(sent).map((name) => headers[name]), headers["x-hub-signature"]];
    },
  },
  {
    kind: 2,
    input: "a rule that reads Authorization, of a request that has it",
    expected: /no key "authorization": the header was sent, and the program left it out/,
    got: (lab) => lab.failure("/reads-authorization", {}, { authorization: "Bearer x" }),
  },
  {
    kind: 2,
    input: "the same, of a request that has none",
    expected: /no key "authorization"$/,
    got: (lab) => lab.failure("/reads-authorization"),
  },
];

const print = (count: number) => `head -c ${count} /dev/zero | tr '\\0' x`;

const limits: Case[] = [
  {
    kind: 3,
    input: "300 kB of output, to the next command",
    expected: "300000",
    got: async (lab) => (await lab.reply("/run", { script: print(300_000) })).counted,
  },
  {
    kind: 3,
    input: "9 MB of output, to the next command",
    expected: `${9 * MB}`,
    got: async (lab) => (await lab.reply("/run", { script: print(9 * MB) })).counted,
  },
  {
    kind: 3,
    input: "30 MB of output",
    expected:
      /wrote 30000000 bytes, at most 10000000 are kept; "save: name" would put all of it into a file, "keep: tail" keep/,
    got: (lab) => lab.failure("/run", { script: print(30 * MB) }),
  },
  {
    kind: 3,
    input: "an answer of 9 MB",
    expected: 9 * MB,
    got: async (lab) => (await lab.reply("/size", { name: "9mb" })).size,
  },
  {
    kind: 3,
    input: "an answer of 11 MB",
    expected: /has over 10 MB, more than an http step takes/,
    got: (lab) => lab.failure("/size", { name: "11mb" }),
  },
  {
    kind: 3,
    input: "a webhook's body over maxBody",
    expected: 413,
    got: async (lab) => (await lab.send("/echo", { text: "x".repeat(MB) })).status,
  },
  {
    kind: 3,
    input: "arguments of over 10 MB",
    expected: /have 10800060 bytes, at most 10000000 are kept/,
    got: (lab) => lab.failure("/too-large", { text: "x".repeat(900_000) }),
  },
];

const numbers: Case[] = [
  {
    kind: 4,
    input: `${BIG} by webhook, request, answer and reply`,
    expected: BIG,
    got: async (lab) => (await lab.send("/numbers", BIG)).text,
  },
  {
    kind: 4,
    input: "two ids that differ beyond 2^53, to dedupe",
    expected: [false, false, true],
    async got({ program }) {
      const send = async (id: string) => {
        const init = { method: "POST", body: `{"id":${id}}`, headers: { "content-type": "application/json" } };
        return (await (await program.fetch("/hooks/deduped", init)).json()).duplicate;
      };
      return [await send("9007199254740992"), await send("9007199254740993"), await send("9007199254740993")];
    },
  },
  {
    kind: 4,
    input: "1e400",
    expected: /^400 .*the number 1e400 at data\.price is too large/,
    async got(lab) {
      const { status, text } = await lab.send("/echo", '{"price":1e400}');
      return `${status} ${text}`;
    },
  },
  {
    kind: 4,
    input: "two values of a poll that differ beyond 2^53",
    expected: ['changed {"id":9007199254740993,"v":9007199254740993}'],
    got: (lab) => lab.polled("/numbers.json", "poll_numbers"),
  },
];

const repeated: Case[] = [
  {
    kind: 7,
    input: "?tag=a&tag=b&one=1",
    expected: { tag: ["a", "b"], one: "1" },
    got: async (lab) => (await lab.reply("/echo?tag=a&tag=b&one=1")).query,
  },
  {
    kind: 7,
    input: "tag=a&tag=b as a form",
    expected: { tag: ["a", "b"] },
    got: async (lab) => (await lab.reply("/echo", "tag=a&tag=b", FORM)).data,
  },
  {
    kind: 7,
    input: "an answer with two Set-Cookie",
    expected: ["a=1; Path=/", "b=2, c"],
    got: async (lab) => (await lab.reply("/cookies")).cookies,
  },
  {
    kind: 7,
    input: "a list in the headers of reply",
    expected: ["a=1; Path=/", "b=2, c"],
    got: async (lab) => (await lab.send("/cookies", {})).headers.getSetCookie(),
  },
];

const replies: Case[] = [
  {
    kind: 11,
    input: "a run that fails before its reply",
    expected: 500,
    got: async (lab) => (await lab.send("/size", { name: "none" })).status,
  },
  {
    kind: 11,
    input: "a reply after replyWithin",
    expected: [202, ["sent false"]],
    async got(lab) {
      const { status } = await lab.send("/late", {});
      return [status, await lab.logged("late")];
    },
  },
  {
    kind: 11,
    input: "no credentials for auth: basic",
    expected: [401, 'Basic realm="whenthen", charset="UTF-8"'],
    async got(lab) {
      const { status, headers } = await lab.send("/basic", {});
      return [status, headers.get("www-authenticate")];
    },
  },
];

const hook = (path: string, more = "auth: none") =>
  `when: { webhook: ${path}, replyWithin: 100s, ${more} }\nlimit: none\n`;
const seen = `then:
  - reply: 200
    json:
      data: "\${{ event.data }}"
      query: "\${{ event.http.query }}"
      headers: "\${{ event.http.headers }}"
      leftOut: "\${{ default(event.http.leftOut, []) }}"
`;

/** What is posted, asked and answered: kinds 1 to 4, 7 and 11. */
export const values: Part = {
  files: {
    ".env": "REGION=lisbon\nADMIN=admin\nSPELT=p/w&d-5512\nHOOK=a-hook-secret-of-some-length\nLOGIN=me:a-password-1\n",
    "secrets.yaml": `${hook("/secrets")}then: [{ log: "\${{ secrets.ADMIN }} \${{ secrets.SPELT }}" }]\n`,
    "city.yaml": `${hook("/city")}then:
  - { log: "in \${{ secrets.REGION }}" }
  - { id: cat, if: event.data.city == 'lisbon', run: [cat], stdin: "\${{ event.data.city }}" }
  - { id: count, run: [wc, -c], stdin: "\${{ steps.cat.stdout }}" }
  - { id: sent, http: "POST PEER/cities/\${{ event.data.city }}", json: "\${{ event.data }}" }
  - { id: emitted, emit: city.seen, subject: "\${{ event.data.city }}" }
  - reply: 200
    json:
      city: "\${{ event.data.city }}"
      counted: "\${{ trim(steps.count.stdout) }}"
      sent: "\${{ steps.sent.body.city }}"
      emitted: "\${{ steps.emitted.subject }}"
`,
    "spelt.yaml": `${hook("/spelt")}then: [{ log: "\${{ event.data.text }}" }]\n`,
    "echo.yaml": hook("/echo") + seen,
    "signed.yaml": hook("/signed", "auth: github, secret: HOOK") + seen,
    "reads.yaml": `${
      hook("/reads-authorization")
    }then: [{ reply: 200, body: "\${{ event.http.headers.authorization }}" }]\n`,
    "run.yaml": `${hook("/run")}then:
  - { id: first, run: [sh, -c, 'eval "$1"', sh, "\${{ event.data.script }}"] }
  - { id: second, run: [wc, -c], stdin: "\${{ steps.first.stdout }}" }
  - { reply: 200, json: { counted: "\${{ trim(steps.second.stdout) }}" } }
`,
    "size.yaml": `${hook("/size")}then:
  - { id: got, http: "PEER/sizes/\${{ event.data.name }}" }
  - { reply: 200, json: { size: "\${{ size(steps.got.body) }}" } }
`,
    "too_large.yaml": `${hook("/too-large")}then:
  - { id: made, log: large, data: "\${{ [${Array(12).fill("event.data.text").join(", ")}] }}" }
  - { reply: 200 }
`,
    "numbers.yaml": `${hook("/numbers")}then:
  - { id: sent, http: "POST PEER/numbers", json: "\${{ event.data }}" }
  - { reply: 200, json: "\${{ steps.sent.body }}" }
`,
    "deduped.yaml": "when: { webhook: /deduped, auth: none, dedupe: event.data.id }\nthen: [{ log: hello }]\n",
    "poll_numbers.yaml": `when: { poll: "PEER/numbers.json", key: item.id, every: 1s }
then: [{ log: "\${{ event.type }} \${{ json(event.data.new) }}" }]
`,
    "cookies.yaml": `${hook("/cookies")}then:
  - { id: got, http: "PEER/cookies" }
  - reply: 200
    headers: { set-cookie: "\${{ steps.got.headers['set-cookie'] }}" }
    json: { cookies: "\${{ steps.got.headers['set-cookie'] }}" }
`,
    "late.yaml": `when: { webhook: /late, auth: none, replyWithin: 1s }
then:
  - { wait: 2s }
  - { id: answer, reply: 200 }
  - { log: "sent \${{ steps.answer.sent }}" }
`,
    "basic.yaml": hook("/basic", "auth: basic, secret: LOGIN") + seen,
  },
  answers: {
    "/cities/lisbon": ({ body }) => ({ body }),
    "/numbers": ({ body }) => ({ body }),
    "/numbers.json": [
      { body: '[{"id":9007199254740992,"v":1},{"id":9007199254740993,"v":9007199254740992}]' },
      { body: '[{"id":9007199254740992,"v":1},{"id":9007199254740993,"v":9007199254740993}]' },
    ],
    "/cookies": [{ headers: { "set-cookie": ["a=1; Path=/", "b=2, c"] }, body: "{}" }],
    "/sizes/9mb": [{ headers: { "content-type": "text/plain" }, body: "x".repeat(9 * MB) }],
    "/sizes/11mb": [{ headers: { "content-type": "text/plain" }, body: "x".repeat(11 * MB) }],
    "/sizes/none": [{ status: 404 }],
  },
  cases: [...masking, ...headers, ...limits, ...numbers, ...repeated, ...replies],
};
