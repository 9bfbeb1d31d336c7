#!/usr/bin/env -S deno run -A
import { noteSignals } from "./cli/signals.ts";

noteSignals();
const { main } = await import("./cli/main.ts");
await main();
