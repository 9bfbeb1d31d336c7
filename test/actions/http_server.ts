import { Buffer } from "node:buffer";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
  bytes: Buffer;
}

export interface TestServer {
  origin: string;
  seen: Seen[];
  /** Resolves when a client has closed the connection before the end of a response. */
  abandoned: Promise<void>;
}

/** A real server on a random port while `use` runs. */
export async function withServer(
  answer: (request: Seen, response: ServerResponse) => void,
  use: (server: TestServer) => Promise<void>,
): Promise<void> {
  const seen: Seen[] = [];
  const abandoned = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = "", url = "", headers } = request;
    const bytes = Buffer.concat(chunks);
    seen.push({ method, url, headers, body: bytes.toString(), bytes });
    response.on("close", () => response.writableFinished || abandoned.resolve());
    answer(seen.at(-1)!, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await use({ origin, seen, abandoned: abandoned.promise });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
