import { connect } from "node:net";

/** How bytes are sent. */
export interface Sending {
  /** Milliseconds between two pieces. @default 0 */
  pause?: number;
  /** Milliseconds after which the connection is given up. @default 10,000 */
  patience?: number;
}

/**
 * Bytes as no client sends them.
 * @returns what comes back, up to the end of a head; empty where the connection ended without a word
 */
export function rawRequest(
  url: string,
  pieces: Iterable<string | Uint8Array>,
  { pause = 0, patience = 10_000 }: Sending = {},
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
    const timer = setTimeout(end, patience);
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
