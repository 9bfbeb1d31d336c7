import process from "node:process";
import { openCodeWorkerPort } from "../../runtime/host/code_worker_port.ts";

/** Reports what it was started with, then follows commands. */
const port = await openCodeWorkerPort();
port.post({ data: port.data, env: { ...process.env }, pid: process.pid });
port.onMessage((message) => {
  if (message === "loop") { for (;;); }
  else if (message === "fill") { for (const full: unknown[] = [];;) full.push([full.length]); }
  else port.post(message);
});
