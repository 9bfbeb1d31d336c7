import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import type { Job } from "./job.ts";

/** Number of requests made beforehand and sent in turn: making them must not be measured. */
const REQUESTS = 10_000;

/** Requests as they go over the wire, each an order of its own. */
export function makeRequests({ paths, secret, bytes, event }: Job): Buffer[] {
  return Array.from({ length: REQUESTS }, (_, index) => {
    const path = paths[index % paths.length];
    const common = ["Host: 127.0.0.1", "User-Agent: bench"];
    if (bytes === undefined) return Buffer.from([`GET ${path} HTTP/1.1`, ...common, "\r\n"].join("\r\n"));
    const data = order(index, bytes);
    const body = event === undefined ? data : `{"type":${JSON.stringify(event)},"data":${data}}`;
    const head = [
      `POST ${path} HTTP/1.1`,
      ...common,
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...secret === undefined ? [] : [`X-Signature: ${createHmac("sha256", secret).update(body).digest("hex")}`],
    ];
    return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
  });
}

/** JSON of about so many bytes. */
function order(index: number, bytes: number): string {
  const order = { id: `order-${index}`, amount: 11 + index % 90, name: "Ada Lovelace", items: [] as object[] };
  while (JSON.stringify(order).length < bytes - 50) {
    const sku = `SKU-${index}-${order.items.length}`;
    order.items.push({ sku, count: order.items.length, price: 9.5 });
  }
  return JSON.stringify(order);
}
