import { type Format, parse } from "../formats/format.ts";
import { serveOrders } from "../host/task_thread.ts";
import { takeApart } from "./parse_pieces.ts";

serveOrders(({ text, format }: { text: string; format: Format }) =>
  Promise.resolve().then(() => ({ result: takeApart(parse(text, format)) }))
);
