import { type Clock, systemClock } from "../host/clock.ts";
import { type Disk, realDisk } from "../host/disk.ts";

/** What the program reaches of the machine that a test may want to be otherwise. */
export interface Ports {
  clock: Clock;
  /** The disk that the data folder is on. */
  disk: Disk;
}

/** The machine as it is. */
export const SYSTEM_PORTS: Ports = { clock: systemClock, disk: realDisk };
