import type { ParseOptions } from "../formats/feed.ts";
import { type Format, parse } from "../formats/format.ts";
import { serveOrders } from "../host/task_thread.ts";
import { takeApart } from "./parse_pieces.ts";

serveOrders(async ({ text, format, base }: { text: string; format: Format } & Pick<ParseOptions, "base">) => {
  const warnings: string[] = [];
  const value = await parse(text, format, { base, warn: (message) => warnings.push(message) });
  return { result: { ...takeApart(value), warnings } };
});
