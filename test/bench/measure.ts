import { Server, type ServerOptions } from "./server.ts";

/** What one start showed. */
export interface Start {
  /** Milliseconds from starting the process to the first answer. */
  ready: number;
  /** Milliseconds of processor time of the process itself until then: less affected by other load. */
  cpu: number;
  /** Resident memory of the process and its children when it is idle, in MB. */
  memory: number;
}

/** How long a program is left alone before its memory is read. */
const REST = 3_000;

/** Starts a program, requests until it answers 200, lets it idle, reads its memory, ends it. */
export async function measureStart(options: ServerOptions): Promise<Start> {
  await using server = await Server.start(options);
  const cpu = await server.processorTime();
  await new Promise((resolve) => setTimeout(resolve, REST));
  return { ready: server.ready, cpu, memory: await server.memory() };
}
