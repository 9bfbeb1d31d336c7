import assert from "node:assert/strict";
import { Sessions } from "../../../runtime/web/forms/sessions.ts";
import { NOW } from "../harness.ts";
import { ANNA, CARL, FormsBench, hiddenInputs } from "./harness.ts";

const CARL_WITH_PASSWORD = { ...CARL, password: ANNA.password };
const MINUTE = 60_000;
const DAY = 86_400_000;

Deno.test("people sign in by name or address, and out again", async () => {
  await using bench = await FormsBench.open();
  for (const name of ["anna", "Anna", " anna@example.org", "ANNA@example.org"]) {
    const { status, headers } = await bench.signIn(name);
    assert.deepEqual([status, headers.get("location")], [303, "/forms"], name);
    const cookie = headers.get("set-cookie")!;
    for (const part of ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=604800"]) {
      assert.ok(cookie.includes(part), part);
    }
    const page = await bench.get("/forms");
    assert.equal(page.status, 200);
    const out = await bench.post("/forms/sign-out", hiddenInputs(page.text));
    assert.equal(out.status, 303);
    assert.equal((await bench.get("/forms")).status, 303);
  }
});

Deno.test("wrong passwords and unknown people get the same message", async () => {
  await using bench = await FormsBench.open();
  const told = new Set<string>();
  for (const [name, password] of [["anna", "wrong"], ["nobody", "correct horse"], ["carl", "correct horse"]]) {
    const { status, text } = await bench.signIn(name, password);
    assert.equal(status, 401);
    told.add(text.replace(`value="${name}"`, ""));
  }
  assert.equal(told.size, 1);
  assert.match([...told][0], /name or the password is wrong/);
  assert.equal((await bench.get("/forms")).status, 303);
});

Deno.test("after five wrong passwords even the right one is refused for a quarter of an hour", async () => {
  await using bench = await FormsBench.open();
  for (let count = 0; count < 5; count++) assert.equal((await bench.signIn("anna", `wrong ${count}`)).status, 401);
  const later = await bench.signIn();
  assert.equal(later.status, 429);
  assert.equal(later.headers.get("retry-after"), "900");
  assert.match(later.text, /Try again in 15 minutes/);
  const elsewhere = { "x-forwarded-for": "198.51.100.7" };
  const inputs = { name: "anna", password: "correct horse" };
  assert.equal((await bench.post("/forms/sign-in", inputs, elsewhere)).status, 429, "a header anybody can write");
  await bench.web.clock.advanceTo(NOW + 15 * MINUTE);
  assert.equal((await bench.signIn()).status, 303);
});

Deno.test("a right password clears earlier wrong ones; concurrent guesses are each counted", async () => {
  await using bench = await FormsBench.open();
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 4; count++) assert.equal((await bench.signIn("anna", "wrong")).status, 401);
    assert.equal((await bench.signIn()).status, 303);
  }
  const guesses = Array.from({ length: 12 }, (_, index) => bench.signIn("anna", `guess ${index}`));
  const statuses = (await Promise.all(guesses)).map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 401).length, 5, statuses.join());
});

Deno.test("guesses for many people from one address are limited as well", async () => {
  const people = Array.from(
    { length: 11 },
    (_, index) => ({ ...ANNA, id: `p${index}`, email: `p${index}@example.org` }),
  );
  await using bench = await FormsBench.open(people);
  const check = (name: string, address: string) => bench.web.context.desk.passwords.check(name, "x", address);
  for (let count = 0; count < 50; count++) {
    assert.equal((await check(`p${count % 10}`, "192.0.2.9")).kind, "wrong");
  }
  assert.equal((await check("p10", "192.0.2.9")).kind, "later");
  assert.equal((await check("p10", "192.0.2.10")).kind, "wrong");
});

Deno.test("a session ends after a week, when the password changes, and when the person is removed", async () => {
  await using bench = await FormsBench.open();
  const signedIn = async () => (await bench.get("/forms")).status === 200;
  await bench.signIn();
  assert.ok(await signedIn());
  await bench.web.clock.advanceTo(NOW + 7 * DAY - 1);
  assert.ok(await signedIn());
  await bench.web.clock.advanceTo(NOW + 7 * DAY);
  assert.ok(!await signedIn());
  await bench.signIn();
  bench.web.people[0] = { ...ANNA, password: ANNA.password!.replace(/.$/, "x") };
  assert.ok(!await signedIn());
  bench.web.people[0] = ANNA;
  assert.ok(await signedIn());
  bench.web.people.shift();
  assert.ok(!await signedIn());
});

Deno.test("a changed cookie is not a session", async () => {
  await using bench = await FormsBench.open([ANNA, { ...CARL, password: ANNA.password }]);
  const { sessions } = bench.web.context.desk;
  const cookie = sessions.open(ANNA);
  assert.equal((await sessions.read(cookie))?.person.id, "anna");
  const [, until, nonce, signature] = cookie.split(".");
  const carl = btoa("carl").replaceAll("=", "");
  const changed = [
    [carl, until, nonce, signature],
    [cookie.split(".")[0], String(Number(until) + 1), nonce, signature],
    [cookie.split(".")[0], until, nonce, ""],
    [],
  ];
  for (const parts of changed) assert.equal(await sessions.read(parts.join(".")), undefined);
  assert.equal(await sessions.read(undefined), undefined);
});

Deno.test("an ended session stays ended in the store, and others continue", async () => {
  await using bench = await FormsBench.open([ANNA, CARL_WITH_PASSWORD]);
  const { clock, store, context: { desk: { sessions, people } } } = bench.web;
  const [ended, other, carls] = [sessions.open(ANNA), sessions.open(ANNA), sessions.open(CARL_WITH_PASSWORD)];
  await sessions.end((await sessions.read(ended))!);
  const anew = new Sessions(bench.web.keyFor("form sessions"), people, store, clock);
  for (const known of [sessions, anew]) {
    assert.equal(await known.read(ended), undefined);
    assert.equal((await known.read(other))?.person.id, "anna");
    assert.equal((await known.read(carls))?.person.id, "carl");
  }
});

Deno.test("beyond a hundred ended sessions, all sessions of that age end, too", async () => {
  await using bench = await FormsBench.open();
  const { clock, context: { desk: { sessions } } } = bench.web;
  const old = sessions.open(ANNA);
  const ended: string[] = [];
  for (let count = 0; count < 102; count++) {
    await clock.advanceTo(NOW + count + 1);
    ended.push(sessions.open(ANNA));
    await sessions.end((await sessions.read(ended.at(-1)))!);
  }
  const fresh = sessions.open(ANNA);
  for (const cookie of [old, ...ended]) assert.equal(await sessions.read(cookie), undefined);
  assert.equal((await sessions.read(fresh))?.person.id, "anna");
});

Deno.test("guesses from elsewhere lock nobody out of a browser in which they signed in before", async () => {
  await using bench = await FormsBench.open();
  const { passwords, devices } = bench.web.context.desk;
  const device = devices.open(ANNA);
  const guess = async (address: string, device?: string) => (await passwords.check("anna", "x", address, device)).kind;
  for (let count = 0; count < 50; count++) assert.equal(await guess(`192.0.2.${count}`), "wrong");
  assert.equal(await guess("192.0.2.99"), "later", "distributed guesses are slow");
  assert.equal(await guess("192.0.2.99", devices.open(CARL)), "later", "another person's browser");
  assert.equal((await passwords.check("anna", "correct horse", "192.0.2.1", device)).kind, "right");
  for (let count = 0; count < 5; count++) assert.equal(await guess(`192.0.2.${count}`, device), "wrong");
  assert.equal(await guess("192.0.2.9", device), "later", "a stolen browser guesses no faster");
});

Deno.test("a link opens its form without an account, and answers it as that person", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  const link = bench.link("f1", ANNA, NOW + DAY);
  const page = await bench.get(link);
  assert.equal(page.status, 200);
  assert.doesNotMatch(page.text, /Sign out/);
  const answered = await bench.fill(link, { decision: "reject" });
  assert.equal(answered.status, 303);
  const thanks = await bench.get(answered.headers.get("location")!);
  assert.match(thanks.text, /Thank you/);
  const { by, via } = (await bench.web.store.getForm("f1"))!.answer!;
  assert.deepEqual([by, via], ["anna", "link"]);
  const again = await bench.get(link);
  assert.equal(again.status, 409);
  assert.match(again.text, /You answered this form/);
});

Deno.test("anybody with an address may be asked: they need only a link", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ to: ["Bob@Partner.example"] });
  const [bob] = bench.web.context.desk.people.find(["Bob@Partner.example"]);
  assert.deepEqual(bob, {
    id: "bob@partner.example",
    name: "Bob@Partner.example",
    email: "Bob@Partner.example",
    groups: [],
  });
  const link = bench.link("f1", bob);
  assert.equal((await bench.fill(link, { decision: "reject" })).status, 303);
  assert.equal((await bench.web.store.getForm("f1"))?.answer?.by, "bob@partner.example");
});

Deno.test("a link that was changed, is for another form, or whose person is no longer asked does not work", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({}, "f1");
  await bench.ask({}, "f2");
  const link = bench.link("f1", ANNA, NOW + DAY);
  const wrong = [
    link.replace("f1", "f2"),
    link.replace("anna", "carl"),
    link.replace(/until=\d+/, `until=${NOW + 99 * DAY}`),
    link.replace(/sig=.{4}/, "sig=AAAA"),
    link.replace(/sig=.*/, "sig="),
    "/forms/f1?sig=x",
    bench.link("f1", CARL),
    bench.link("f1", { ...CARL, id: "nobody" }),
  ];
  for (const path of wrong) {
    for (const shown of [await bench.get(path), await bench.post(path, { decision: "approve" })]) {
      assert.equal(shown.status, 403, path);
      assert.doesNotMatch(shown.text, /Refund/);
    }
  }
  assert.equal((await bench.get(link)).status, 200);
  bench.web.people[0].groups = [];
  assert.equal((await bench.get(link)).status, 403, "no longer in the group");
  bench.web.people.length = 0;
  assert.equal((await bench.get(link)).status, 403, "no longer in people");
});

Deno.test("a link expires with its form, or after thirty days, and says so", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ due: undefined }, "f1");
  await bench.ask({ due: NOW + DAY }, "f2");
  const endless = bench.link("f1", ANNA);
  const limited = bench.link("f2", ANNA, NOW + DAY);
  await bench.web.clock.advanceTo(NOW + DAY);
  const over = await bench.get(limited);
  assert.equal(over.status, 409);
  assert.match(over.text, /time to answer this form is over/);
  await bench.web.clock.advanceTo(NOW + 30 * DAY - 1);
  assert.equal((await bench.get(endless)).status, 200);
  await bench.web.clock.advanceTo(NOW + 30 * DAY);
  for (const shown of [await bench.get(endless), await bench.post(endless, { decision: "approve" })]) {
    assert.ok([403, 410].includes(shown.status));
  }
  assert.equal((await bench.get(endless)).status, 410);
  assert.match((await bench.get(endless)).text, /This link has expired/);
});

Deno.test("a submission from the page of a link needs that page's token", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  const link = bench.link("f1", ANNA);
  assert.equal((await bench.post(link, { decision: "approve" })).status, 403);
  assert.equal((await bench.web.store.getForm("f1"))?.state, "open");
});

Deno.test("a link acts as the person in it, whoever is signed in", async () => {
  await using bench = await FormsBench.open([ANNA, { ...CARL, groups: ["finance"] }]);
  await bench.ask();
  await bench.signIn("anna");
  assert.equal((await bench.fill(bench.link("f1", CARL), { decision: "reject" })).status, 303);
  assert.equal((await bench.web.store.getForm("f1"))?.answer?.by, "carl");
});
