import { env } from "node:process";
import { noteSignals } from "../../bin/cli/signals.ts";

/*
 * The program for tests with a faulty clock or disk, selected by WHENTHEN_TEST_CLOCK and WHENTHEN_TEST_DISK. Run from
 * source, or built by: deno task compile --faults
 */

noteSignals();
const { main } = await import("../../bin/cli/main.ts");
const { SYSTEM_PORTS: { clock, disk } } = await import("../../runtime/app/wire.ts");
const { chooseClock } = await import("./shifted_clock.ts");
const { chooseDisk } = await import("./chosen_disk.ts");
await main({ clock: chooseClock(clock, env.WHENTHEN_TEST_CLOCK), disk: chooseDisk(disk, env.WHENTHEN_TEST_DISK) });
