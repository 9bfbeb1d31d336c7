import { size } from "./size.ts";
import { survive } from "./survival.ts";

Deno.test("SIGTERM under full load, again and again: exit 0 in time, nothing answered is lost, nothing runs twice", () =>
  survive({ moments: new Array(size(4, 50)).fill("end"), senders: 32 }));
