import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Clock } from "../../host/clock.ts";
import type { Person } from "../../model/person.ts";
import type { People } from "./people.ts";
import { isSigned, sign } from "./signature.ts";

/** Milliseconds after which everybody signs in anew. */
export const SESSION_LIFE = 7 * 86_400_000;

/** Who is signed in, and the cookie that says so. */
export interface Session {
  person: Person;
  cookie: string;
}

/**
 * Sessions without a list of them: the cookie says who and until when, signed together with the hash of the person's
 * password. With a new password, or once the person is gone, it says nothing any more.
 */
export class Sessions {
  /** @param key of the data folder, for sessions only */
  constructor(private readonly key: Uint8Array, private readonly people: People, private readonly clock: Clock) {}

  /** The cookie of a new session. */
  open(person: Person): string {
    const until = this.clock.now() + SESSION_LIFE;
    const nonce = randomBytes(12).toString("base64url");
    const id = Buffer.from(person.id).toString("base64url");
    return [id, until, nonce, sign(this.key, [person.id, until, nonce, person.password!])].join(".");
  }

  read(cookie: string | undefined): Session | undefined {
    const [id = "", until = "", nonce = "", signature = ""] = (cookie ?? "").split(".");
    const person = this.people.get(Buffer.from(id, "base64url").toString());
    if (cookie === undefined || person?.password === undefined || Number(until) <= this.clock.now()) return undefined;
    return isSigned(this.key, [person.id, Number(until), nonce, person.password], signature)
      ? { person, cookie }
      : undefined;
  }
}
