import http from "node:http";
import https from "node:https";
import net from "node:net";

/** Connects, and disconnects at once. @param target `host:port`; an IPv6 address may be in brackets */
export function pingTcp(target: string, signal: AbortSignal): Promise<void> {
  const at = target.lastIndexOf(":");
  const host = target.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const port = Number(target.slice(at + 1));
  if (host === "" || !(port > 0 && port < 65_536)) {
    return Promise.reject(new Error(`Cannot ping ${JSON.stringify(target)}: expected host:port`));
  }
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    const end = (error?: Error) => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    const abort = () => end(new Error("aborted"));
    socket.on("connect", () => end());
    // Also after the end: a socket's error without a listener would end the worker.
    socket.on("error", end);
    signal.addEventListener("abort", abort);
  });
}

/**
 * Requests a URL with sockets of its own: in Bun, `fetch` has 256 slots for the whole process, and devices that hang would take
 * them from everybody.
 */
export function pingHttp(target: string, signal: AbortSignal): Promise<void> {
  const [, method = "GET", address = ""] = /^(?:([A-Z]+) +)?(.*)$/.exec(target) ?? [];
  if (!URL.canParse(address)) return Promise.reject(new Error(`Cannot ping ${JSON.stringify(target)}: expected a URL`));
  const url = new URL(address);
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === "https:" ? https : http;
    const sent = request(url, { method, agent: false, headers: { connection: "close" } }, (response) => {
      const { statusCode = 0 } = response;
      response.on("error", () => {});
      end(statusCode < 400 ? undefined : new Error(`${method} ${address} was answered with status ${statusCode}`));
    });
    const end = (error?: Error) => {
      signal.removeEventListener("abort", abort);
      sent.destroy();
      if (error) reject(error);
      else resolve();
    };
    const abort = () => end(new Error("aborted"));
    sent.on("error", end);
    signal.addEventListener("abort", abort);
    sent.end();
  });
}
