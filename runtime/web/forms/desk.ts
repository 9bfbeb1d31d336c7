import type { Clock } from "../../host/clock.ts";
import type { Person } from "../../model/form.ts";
import type { FormPeople } from "../../engine/runner_options.ts";
import type { Store } from "../../store/store.ts";
import { PasswordCheck } from "./password_check.ts";
import { People } from "./people.ts";
import { Sessions } from "./sessions.ts";
import { Devices, FormLinks } from "./signatures.ts";

/** Who may use the forms, and how they are authenticated: by link, session or token. */
export interface FormDesk {
  people: People;
  links: FormLinks;
  sessions: Sessions;
  devices: Devices;
  passwords: PasswordCheck;
  /** Key for the proof that a form was sent from our own page. */
  csrfKey: Uint8Array;
  /** Where people reach the program, without a trailing slash. */
  address(): string;
}

/** What a desk needs. */
export interface DeskOptions {
  /** A key of the data folder for one purpose. */
  keyFor: (purpose: string) => Uint8Array;
  /** The people of the settings in force. */
  people: () => Person[];
  address: () => string;
  store: Pick<Store, "getMark" | "accept">;
  clock: Clock;
}

export function openDesk({ keyFor, people: listed, address, store, clock }: DeskOptions): FormDesk {
  const people = new People(listed);
  const devices = new Devices(keyFor("form devices"));
  return {
    people,
    links: new FormLinks(keyFor("form links")),
    sessions: new Sessions(keyFor("form sessions"), people, store, clock),
    devices,
    passwords: new PasswordCheck(people, devices, clock),
    csrfKey: keyFor("form csrf"),
    address,
  };
}

/** What steps that ask people need to know about them. */
export function formPeople({ people, links, address }: FormDesk, clock: Clock, canMail: () => boolean): FormPeople {
  const url = (form: string) => `${address()}/forms/${form}`;
  return {
    find: (to) => people.find(to),
    url,
    link: (form, person, expires) => `${url(form)}?${links.query(form, person, expires, clock.now())}`,
    canMail,
  };
}
