import { parseAddress } from "../../actions/mail/mailer.ts";
import { verifyToken } from "../../secrets/passwords.ts";
import type { Person } from "../../model/form.ts";

/** Who answers forms: the current `people` of `whenthen.yaml`, and anybody with an e-mail address. */
export class People {
  /** @param listed the people of the settings in force */
  constructor(private readonly listed: () => Person[]) {}

  /** The people named by ids, groups and addresses: each once, in the given order. */
  find(to: string[]): Person[] {
    const found = new Map<string, Person>();
    for (const name of to) {
      const group = this.listed().filter(({ groups }) => groups.includes(name));
      const person = this.get(name);
      for (const one of person === undefined ? group : [person]) found.set(one.id, one);
    }
    return [...found.values()];
  }

  /** One person by id or e-mail address. An address that is not in the settings is a person of its own. */
  get(name: string): Person | undefined {
    const known = this.listed().find(({ id }) => id === name) ?? this.#byAddress(name);
    return known ?? strangerAt(name);
  }

  /** The person who signs in with that id or e-mail address. */
  account(name: string): Person | undefined {
    const written = name.trim();
    return this.listed().find(({ id }) => id === written) ??
      this.listed().find(({ id }) => id.toLowerCase() === written.toLowerCase()) ?? this.#byAddress(written);
  }

  /** The owner of an API token. */
  byToken(token: string): Person | undefined {
    return this.listed().find((person) => person.token !== undefined && verifyToken(token, person.token));
  }

  #byAddress(address: string): Person | undefined {
    const written = address.toLowerCase();
    return this.listed().find(({ email }) => email?.toLowerCase() === written);
  }
}

/** The names of a person that a form's `to` may contain. */
export function namesOf({ id, groups, email }: Person): string[] {
  return [id, ...groups, ...email === undefined ? [] : [email]];
}

/** An address is one person, in any spelling. */
function strangerAt(name: string): Person | undefined {
  const parsed = parseAddress(name);
  if (parsed === undefined || parsed.name !== "") return undefined;
  return { id: parsed.address.toLowerCase(), name: parsed.address, email: parsed.address, groups: [] };
}

/** The group whose members see and do everything in the console. */
const OPERATORS = "operators";

export function isOperator({ groups }: Person): boolean {
  return groups.includes(OPERATORS);
}
