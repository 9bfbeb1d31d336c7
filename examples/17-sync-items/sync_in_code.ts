import { manual, rule } from "whenthen";

interface Item {
  id: string;
}

/** The same as sync.yaml, in TypeScript. */
export default rule({
  name: "Sync items, in TypeScript",
  when: manual(),
  mode: "single",
  timeout: "2h",
  config: {
    from: { type: "url", default: "https://shop.example.org/items" },
    to: { type: "url", default: "https://crm.example.org/items" },
  },
  then: async ({ config, step }) => {
    const { body: items } = await step.http<Item[]>("list", `GET ${config.from}`);
    const put = async (item: Item) => {
      await step.http("put", `PUT ${config.to}/${encodeURIComponent(item.id)}`, { json: item, retry: 2 });
    };
    const sent = await step.each("items", items, put, { max: 4, rate: "10/s", onError: "continue" });
    await step.log("tell", `${sent.total - sent.failed} of ${sent.total} items are in sync`);
    for (const { index, message } of sent.errors) {
      await step.log("failed", `Item ${items[index].id}: ${message}`, { level: "warn" });
    }
  },
});
