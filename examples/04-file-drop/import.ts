import { rule, watch } from "whenthen";

interface Row {
  order: string;
  customer: string;
  amount: string;
}

/**
 * Each CSV file dropped into inbox/ becomes one event for each row; then the file moves to done/. A file counts as soon as it
 * has not changed for two seconds (settle), so a file that is still being copied is not read. Files that came while the
 * program was down are found at the next start.
 */
export default rule({
  name: "Import orders",
  when: watch<Row[]>("./inbox/*.csv", { on: ["added"], format: "csv" }),
  mode: "queued", // one file after the other
  then: async ({ event: { data: file }, step }) => {
    if (!file.content) return await step.stop("unreadable", `${file.name}: ${file.error}`, { as: "failed" });
    // Plain code between the steps; a step name used again becomes order#2, order#3, …
    for (const { order, customer, amount } of file.content) {
      const data = { order, customer, amount: Number(amount), file: file.name };
      await step.emit("order", "order.imported", { subject: order, data, id: order });
    }
    await step.run("archive", ["mv", file.path, "./done/"]);
  },
});
