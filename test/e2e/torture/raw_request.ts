import { connect } from "node:net";

/** Options for sending bytes. */
export interface Sending {
  /** Milliseconds between two pieces. @default 0 */
  pause?: number;
  /** Milliseconds after which the connection is closed. @default 10,000 */
  timeout?: number;
}

/**
 * Sends bytes that no client library would.
 * @returns the response, up to the end of its headers; empty if the connection ended without one
 */
export function rawRequest(
  url: string,
  pieces: Iterable<string | Uint8Array>,
  { pause = 0, timeout = 10_000 }: Sending = {},
): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(Number(port), hostname);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(end, timeout);
    socket.on("data", (chunk) => {
      text += chunk;
      if (text.includes("\r\n\r\n")) end();
    });
    socket.on("error", end);
    socket.on("close", end);
    const left = pieces[Symbol.iterator]();
    const send = () => {
      const { done, value } = left.next();
      if (done || socket.destroyed) return;
      socket.write(value, () => setTimeout(send, pause));
    };
    send();
  });
}
