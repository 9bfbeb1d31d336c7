import { arch, cpus, loadavg, platform, totalmem } from "node:os";

/** What a benchmark ran on. */
export interface Machine {
  cpu: string;
  memory: string;
  system: string;
  /** Load average of the last minute before the benchmark. */
  load: number;
}

/** This one. */
export function thisMachine(): Machine {
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    system: `${platform()}-${arch()}`,
    load: loadavg()[0],
  };
}

/** As one line. */
export function describeMachine({ cpu, memory, system, load }: Machine): string {
  return `${cpu}, ${memory}, ${system}, load ${load.toFixed(1)}`;
}
