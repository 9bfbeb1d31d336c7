import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { until } from "../e2e/until.ts";
import { freePort } from "./server.ts";

/** Whether PgBouncer is installed; Debian has it in `/usr/sbin`. */
export const hasPooler = spawnSync("pgbouncer", ["--version"], { env: withSbin() }).status === 0;

/** PgBouncer in transaction mode before a server, used with `await using`. */
export class Pooler implements AsyncDisposable {
  private constructor(
    /** The database's URL by it. */
    readonly url: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {}

  /** @param url the database's */
  static async before(url: string): Promise<Pooler> {
    const [target, port] = [new URL(url), await freePort()];
    const folder = mkdtempSync(join(tmpdir(), "whenthen-pgbouncer-"));
    // It refuses to run as root.
    chmodSync(folder, 0o777);
    writeFileSync(join(folder, "users"), `"${target.username}" ""\n`, { mode: 0o644 });
    writeFileSync(
      join(folder, "ini"),
      [
        "[databases]",
        `* = host=${target.hostname} port=${target.port}`,
        "[pgbouncer]",
        `listen_addr = 127.0.0.1\nlisten_port = ${port}`,
        `auth_type = trust\nauth_file = ${join(folder, "users")}`,
        "pool_mode = transaction\nunix_socket_dir =",
        // Fewer than three replicas have connections.
        "default_pool_size = 6\nmax_client_conn = 100",
        "",
      ].join("\n"),
      { mode: 0o644 },
    );
    const user = process.getuid!() === 0 ? ["-u", "postgres"] : [];
    const child = spawn("pgbouncer", [...user, join(folder, "ini")], { cwd: "/", env: withSbin(), stdio: "ignore" });
    const pooled = new URL(url);
    pooled.host = `127.0.0.1:${port}`;
    const pooler = new Pooler(pooled.href, folder, child);
    await until("PgBouncer to listen", () => accepts(port), (does) => does);
    return pooler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.child.on("close", resolve));
    this.child.kill("SIGKILL");
    await closed;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
