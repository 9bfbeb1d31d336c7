import { serveOrders } from "../../host/task_thread.ts";
import { takeApart } from "./pieces.ts";
import { type Format, parse } from "../../formats/format.ts";

serveOrders(({ text, format }: { text: string; format: Format }) =>
  Promise.resolve().then(() => ({ result: takeApart(parse(text, format)) }))
);
