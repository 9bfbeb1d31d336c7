import { readdir, readFile } from "node:fs/promises";
import { cpuUsage, memoryUsage } from "node:process";
import { Counter, Gauge, type Registry } from "./prom_client.ts";

/**
 * The metrics of a process, with the names of Prometheus's client libraries. They are read at each scrape. prom-client's own
 * are not used: they also watch the event loop and garbage collection all the time.
 * https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
 */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry];
  new Counter({
    name: "process_cpu_seconds_total",
    help: "CPU time of the process, user and system together",
    registers,
    collect() {
      const { user, system } = cpuUsage();
      this.reset();
      this.inc((user + system) / 1_000_000);
    },
  });
  const gauge = (name: string, help: string, read: () => number | undefined | Promise<number | undefined>) => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const value = await read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  gauge("process_start_time_seconds", "Start of the process, seconds since the epoch", () => STARTED);
  gauge("process_resident_memory_bytes", "Resident memory of the process", () => memoryUsage().rss);
  gauge("process_virtual_memory_bytes", "Virtual memory of the process (Linux)", readVirtualMemory);
  gauge("process_open_fds", "Open file descriptors (Linux and macOS)", countOpenFiles);
  gauge("process_max_fds", "The limit of open file descriptors (Linux)", readMostOpenFiles);
}

const STARTED = performance.timeOrigin / 1_000;

/** Of the kernel's status of this process; undefined if the system has no `/proc`. */
async function readProc(file: string, value: RegExp): Promise<number | undefined> {
  const text = await readFile(`/proc/self/${file}`, "utf8").catch(() => "");
  const found = value.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

async function readVirtualMemory(): Promise<number | undefined> {
  const kilobytes = await readProc("status", /^VmSize:\s+(\d+) kB$/m);
  return kilobytes && kilobytes * 1_024;
}

async function readMostOpenFiles(): Promise<number | undefined> {
  return await readProc("limits", /^Max open files\s+(\d+)/m);
}

async function countOpenFiles(): Promise<number | undefined> {
  // On Linux /dev/fd is a link to /proc/self/fd. One of them is open only to read the list.
  return await readdir("/dev/fd").then((files) => files.length - 1, () => undefined);
}
