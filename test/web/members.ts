import type { Member } from "../../runtime/database/members.ts";
import { NOW } from "./harness.ts";

/** A replica that is alive and follows, unless told otherwise. @param at its number: `replica7` */
export function member(at: number, changes: Partial<Member> = {}): Member {
  return {
    id: `replica${at}`,
    name: `web-${at}.internal.example.org`,
    pid: 4_000 + at,
    version: "1.2.3",
    address: `http://192.0.2.${at}:8080`,
    rules: "1a2b3c4d",
    startedAt: NOW - at * 60_000,
    decides: false,
    isAlive: true,
    applied: 1_000,
    behind: 0,
    fenced: false,
    ...changes,
  };
}
