import { env } from "node:process";
import { noteSignals } from "../../bin/cli/signals.ts";

/*
 * The program as tests start it that want the machine to be otherwise: WHENTHEN_TEST_CLOCK and WHENTHEN_TEST_DISK say how. From
 * source, or built by: deno task compile --faults
 */

noteSignals();
const { main } = await import("../../bin/cli/main.ts");
const { SYSTEM_PORTS: { clock, disk } } = await import("../../runtime/app/wire.ts");
const { chooseClock } = await import("./shifted_clock.ts");
const { chooseDisk } = await import("./chosen_disk.ts");
await main({ clock: chooseClock(clock, env.WHENTHEN_TEST_CLOCK), disk: chooseDisk(disk, env.WHENTHEN_TEST_DISK) });
