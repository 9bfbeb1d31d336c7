import { serveOrders } from "../host/task_thread.ts";
import { takeApart } from "./parse_apart.ts";
import { type Format, parse } from "./format.ts";

serveOrders(({ text, format }: { text: string; format: Format }) =>
  Promise.resolve().then(() => ({ result: takeApart(parse(text, format)) }))
);
