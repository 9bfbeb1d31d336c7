import { openStoresWith } from "../helpers.ts";
import { openPair } from "./pair.ts";

// The tests of the store's behaviour, each through a program that follows another one.
openStoresWith(openPair);
const FILES = [
  "accept",
  "clock_rollback",
  "forms",
  "ledger",
  "operate",
  "past",
  "retry",
  "runs",
  "search",
  "upkeep",
  "waits",
];
for (const file of FILES) await import(`../${file}_test.ts`);
