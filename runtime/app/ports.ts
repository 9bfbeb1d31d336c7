import { type Clock, systemClock } from "../host/clock.ts";
import { type Disk, realDisk } from "../host/disk.ts";

/** The parts of the machine that tests replace. */
export interface Ports {
  clock: Clock;
  /** The disk that the data folder is on. */
  disk: Disk;
}

/** The real machine. */
export const SYSTEM_PORTS: Ports = { clock: systemClock, disk: realDisk };
