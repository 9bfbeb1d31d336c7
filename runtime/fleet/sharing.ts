import { writeExactJson } from "../formats/exact_json.ts";
import type { Fleet } from "../model/fleet.ts";
import { hashVersion } from "../folder/source_file.ts";

/**
 * What replicas must agree in to look after the same devices: everything but the inventory, which is in the store. Replicas read a
 * changed list of devices one after another, and nothing moves because of that.
 */
export function carriedVersion({ platformVersion, ping, init, tasks }: Fleet): string {
  return hashVersion(writeExactJson([platformVersion, { ...ping }, { ...init }, { ...tasks }]));
}

/** A replica, as far as fleets need to know it. */
export interface FleetMember {
  id: string;
  /** Its host. */
  name: string;
  /** Null until it listens. */
  address: string | null;
  isAlive: boolean;
  /** It was excluded, or has ended. */
  fenced: boolean;
}

/** How the fleets of several replicas share devices. */
export interface FleetSharing {
  /** This replica. */
  me: string;
  /** Whether this one decides which replica looks after which device. */
  decides(): boolean;
  /** All replicas. */
  members(): Promise<FleetMember[]>;
  /**
   * Undefined if this replica may send something to a device now. Else resolves when it may, and rejects if it must not any more, as
   * others may look after its devices.
   */
  acting(): Promise<void> | undefined;
  /** It only orders: it takes no devices. */
  isGuest?: boolean;
}

/** Devices that are moved, or looked for, at once: other work goes on in between. */
export const PLACES_AT_ONCE = 256;
