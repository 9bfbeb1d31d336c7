import assert from "node:assert/strict";
import { NOW } from "../harness.ts";
import { ANNA, CARL, FormsBench } from "./harness.ts";

const DAY = 86_400_000;

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
