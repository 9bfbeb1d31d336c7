import type { Isolates } from "../workers/workers.ts";
import { openIsolates } from "../workers/open_workers.ts";
import type { Person } from "../model/person.ts";
import type { TestWorld } from "../model/test.ts";
import type { Kinds } from "../language/kind.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { logCode } from "../engine/run_log.ts";
import { type LoadedRule, ruleFor, secretsFor } from "./tested_rule.ts";
import { World } from "./world.ts";

/**
 * Milliseconds after which code that does not answer counts as an endless loop: nothing else uses the machine's time here.
 */
const BLOCKED_AFTER = 2_000;

/** What a stage needs. */
export interface StageOptions {
  /** Absolute. */
  folder: string;
  kinds: Kinds;
  /** The people of `whenthen.yaml`. */
  people: Person[];
}

/** Where tests are performed, one at a time: the workers see the secrets and the environment of the current test. */
export class Stage {
  readonly isolates: Isolates;
  #test: { world: TestWorld; secrets: Secrets; lines: string[]; now: () => number } | undefined;

  constructor(private readonly options: StageOptions) {
    this.isolates = openIsolates({
      secrets: () => this.#test?.secrets.all() ?? {},
      onSecret: (name) => void this.#test?.secrets.get(name),
      env: () => this.#test?.world.env ?? {},
      now: () => this.#test?.now(),
      // Output of test code is for the person who runs it; it is not a log of the rule.
      onLog: ({ level, message, file, run }) => {
        if (/\.test\.ts$/.test(file)) logCode(level, message, file, run);
        else this.#test?.lines.push(message);
      },
      blockedAfter: BLOCKED_AFTER,
    });
  }

  /**
   * Performs something in its own world.
   * @throws TestFailed if the rule does not load with the test's settings
   */
  async inWorld(loaded: LoadedRule, test: TestWorld, perform: (world: World) => Promise<void>): Promise<void> {
    const { folder, kinds } = this.options;
    const rule = ruleFor(loaded, test, kinds);
    const secrets = secretsFor(rule, test, kinds);
    const lines: string[] = [];
    this.#test = { world: test, secrets, lines, now: () => test.now };
    const people = peopleOf(test, this.options.people);
    const world = await World.open({ rule, test, secrets, folder, isolates: this.isolates, people, logs: lines });
    this.#test.now = () => world.clock.now();
    try {
      await perform(world);
    } finally {
      await world.close();
      this.#test = undefined;
    }
  }

  async close(): Promise<void> {
    await this.isolates.close();
  }
}

/** The people of a test: the members of its groups, with name and address from `whenthen.yaml`, else made up. */
function peopleOf({ people: groups }: TestWorld, known: Person[]): Person[] {
  if (groups === undefined) return known;
  const ids = [...new Set(Object.values(groups).flat())];
  return ids.map((id) => {
    const person = known.find((each) => each.id === id) ?? { id, name: id, email: `${id}@example.org` };
    const own = Object.entries(groups).filter(([, members]) => members.includes(id)).map(([group]) => group);
    return { ...person, groups: own };
  });
}
