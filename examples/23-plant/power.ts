// The power switch of the plant is unit 0: writing 1 to the register with a PLC's number cycles its power.
import { Unit } from "./frames.ts";

export async function cycle({ device }: { device: { host: string; port: number; unit: number } }): Promise<string> {
  const signal = AbortSignal.timeout(10_000);
  const power = await Unit.open({ ...device, unit: 0 }, signal);
  try {
    await power.write(device.unit, 1, signal);
    return `unit ${device.unit} was rebooted`;
  } finally {
    power.close();
  }
}
