import assert from "node:assert/strict";
import { serve } from "../../../runtime/host/serve.ts";
import { openBench } from "../../web/harness.ts";
import { member } from "../../web/members.ts";
import { browserTest, faultsOf, newPage } from "./browser.ts";

browserTest("the page of replicas, with many, with none and in error: no fault, nothing sideways", async (browser) => {
  const members = [
    member(1, { decides: true, behind: 0 }),
    member(2, { isAlive: false, behind: 1_234_567, name: "a-host-with-a-name-that-is-long".repeat(4) }),
    member(3, { fenced: true, address: null }),
  ];
  const lists = {
    many: () => Promise.resolve(members),
    none: () => Promise.resolve([]),
    failing: () => Promise.reject(new Error("connect ECONNREFUSED 192.0.2.9:5432")),
  };
  const page = await newPage(browser);
  for (const [name, list] of Object.entries(lists)) {
    await using bench = await openBench([], { replicas: { me: "replica1", list } });
    const server = serve((request) => bench.web.fetch(request, () => "127.0.0.1"), { host: "127.0.0.1", port: 0 });
    try {
      await page.goto(`${server.url}/replicas`);
      const text = await page.getByRole("main").innerText();
      assert.match(text, name === "failing" ? /ECONNREFUSED/ : name === "none" ? /Behind/ : /decides[^]*this one/);
      assert.deepEqual(await faultsOf(page, name), []);
    } finally {
      await server.stop(0);
    }
  }
  await page.context().close();
});
