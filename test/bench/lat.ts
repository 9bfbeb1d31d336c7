import { Server } from "./server.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Lab, SECRET } from "./lab.ts";
import { ingestRule, LOG_STEP, SETTINGS } from "./parts/ingest.ts";
const bin = Deno.env.get("BIN")!;
const [step, secs, ...rates] = Deno.args;
const scratch = await mkdtemp("/tmp/lat-");
const inst = { command: [bin] } as any;
const prof = Deno.env.get("PROF");
if (prof) inst.command = ["env", "BUN_BE_BUN=1", bin, "--cpu-prof", "--cpu-prof-dir=" + prof, "run", "/work/lead/bin/whenthen.ts"];
const lab = new Lab(scratch, { command: [bin] } as any, inst, Number(secs));
const REPLY = '{ reply: 202, json: { order: "${{ event.data.id }}" } }';
function threads(pid: number) {
  const m = new Map<string, [string, number, number]>();
  for (const t of readdirSync(`/proc/${pid}/task`)) {
    try {
    const s = readFileSync(`/proc/${pid}/task/${t}/stat`, "utf8");
    const name = s.slice(s.indexOf("(") + 1, s.lastIndexOf(")"));
    const f = s.slice(s.lastIndexOf(")") + 2).split(" ");
    m.set(t, [name, Number(f[11]) * 10, Number(f[12]) * 10]);
    } catch {}
  }
  return m;
}
try {
  const bare = Deno.env.get("BARE");
  await using server = bare ? await Server.start({ command: (port: number) => [bin, "run", "/tmp/idle.js", String(port), bare], cwd: "/tmp", readyPath: "/healthz", env: { BUN_BE_BUN: "1" } }) : await lab.start(inst, { "in.yaml": ingestRule(step === "log" ? LOG_STEP : REPLY), "whenthen.yaml": SETTINGS });
  const pid = (server as any).pid ?? (server as any).process?.pid ?? (server as any).child?.pid;
  await lab.load(server, { paths: ["/hooks/in"], connections: 64, secret: SECRET, seconds: Number(Deno.env.get("WARM") ?? 4) });
  for (const r of rates) {
    await new Promise((r) => setTimeout(r, 500));
    const before = threads(pid);
    const during = Deno.env.get("DURING");
    if (during) new Deno.Command("bash", { args: ["-c", "sleep 1; " + during.replaceAll("PID", String(pid)).replaceAll("RATE", r)], stdout: "inherit", stderr: "inherit" }).spawn();
    const l = await lab.load(server, { paths: ["/hooks/in"], connections: 64, secret: SECRET, seconds: Number(secs), ...(Number(r) > 0 && { rate: Number(r) }) });
    clearTimeout(undefined as any);
    const after = threads(pid);
    const used = new Map<string, number>();
    let total = 0;
    for (const [t, [name, u, s]] of after) {
      const b = before.get(t) ?? [name, 0, 0];
      const n = t === String(pid) ? "main" : name;
      const d = u - b[1] + s - b[2];
      used.set(n, (used.get(n) ?? 0) + d); total += d;
    }
    const per = [...used].filter(([, v]) => v > 20).map(([k, v]) => `${k} ${(v * 1000 / l.answered).toFixed(0)}`).join(", ");
    console.log(`rate ${r}: ${l.rate.toFixed(0)}/s p50 ${l.p50.toFixed(1)} p99 ${l.p99.toFixed(1)} max ${l.longest.toFixed(0)} µs/event ${(total * 1000 / l.answered).toFixed(0)} (${per}) failed ${l.failed}`);
  }
} finally { await rm(scratch, { recursive: true, force: true }); }
