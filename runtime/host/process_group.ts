import { readdir, readFile } from "node:fs/promises";
import process from "node:process";

/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 2_000;
/** Milliseconds that the system has to carry out SIGKILL. */
const KILLED_WITHIN = 500;
const FIRST_LOOK = 5;
const LONGEST_PAUSE = 100;

/** A child process that leads its own process group, with all processes that it started there. */
export class ProcessGroup {
  #ended?: Promise<void>;

  constructor(readonly id: number) {}

  /** Ends the remaining processes: SIGTERM, two seconds, SIGKILL. Resolves when none of them runs. */
  end(): Promise<void> {
    return this.#ended ??= this.#end();
  }

  async #end(): Promise<void> {
    if (!await this.#runs()) return;
    this.#signal("SIGTERM");
    if (await this.#goneWithin(GRACE)) return;
    this.#signal("SIGKILL");
    await this.#goneWithin(KILLED_WITHIN);
  }

  async #goneWithin(ms: number): Promise<boolean> {
    const until = performance.now() + ms;
    for (let pause = FIRST_LOOK; performance.now() < until; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (!await this.#runs()) return true;
    }
    return false;
  }

  async #runs(): Promise<boolean> {
    return this.#signal(0) && (process.platform !== "linux" || await hasRunningMember(this.id));
  }

  /** Returns false if no process of the group remains. */
  #signal(signal: "SIGTERM" | "SIGKILL" | 0): boolean {
    try {
      process.kill(-this.id, signal);
      return true;
    } catch (error) {
      // EPERM: the remaining processes have changed to another user; this program cannot end them.
      if (["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
      throw error;
    }
  }
}

/**
 * Ignores zombies, which signals also reach. In a container whose first process does not reap orphans they stay for ever, and
 * waiting for them would make every abort take its maximum time.
 */
async function hasRunningMember(group: number): Promise<boolean> {
  const entries = await readdir("/proc").catch(() => undefined);
  if (entries === undefined) return true;
  const members = await Promise.all(
    entries.filter((name) => /^\d+$/.test(name)).map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      // `pid (name) state parent group …`; the name may contain anything.
      const [state, , itsGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(itsGroup) === group && state !== "Z" && state !== "X";
    }),
  );
  return members.includes(true);
}
