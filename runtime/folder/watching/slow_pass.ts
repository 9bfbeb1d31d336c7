import type { Clock } from "../../host/clock.ts";
import { ABSENT, type FolderScope, type Mark, markFile, markFiles, markFolder } from "../folder.ts";

/** Milliseconds between two passes. */
const PERIOD = 30_000;

/** Checks every file periodically, for file systems that send no events: network shares, some containers. */
export class SlowPass {
  /** Files outside the folder that are checked too, absolute. */
  outside: string[] = [];
  #folder = new Map<string, Mark>();
  #outside = new Map<string, Mark>();
  #cancel = () => {};
  #stopped = false;

  constructor(
    private readonly scope: FolderScope,
    private readonly options: { clock: Clock; onWarning: (message: string) => void },
    private readonly onChange: () => void,
  ) {}

  /** Records the present state; resolves when that is done. */
  async start(): Promise<void> {
    this.#folder = await markFolder(this.scope);
    this.#plan();
  }

  /** An event already reported this file: the next pass does not report the change again. */
  told(path: string): void {
    const mark = markFile(path);
    if (!path.startsWith(`${this.scope.folder}/`)) this.#outside.set(path, mark);
    else if (mark.state === ABSENT) this.#folder.delete(path);
    else this.#folder.set(path, mark);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #plan(): void {
    const { clock } = this.options;
    if (!this.#stopped) this.#cancel = clock.after(PERIOD, () => void this.#pass());
  }

  async #pass(): Promise<void> {
    try {
      const folder = await markFolder(this.scope);
      const outside = await markFiles(this.outside);
      // A file outside that is checked for the first time has just been read by the load that found it.
      const changed = folder.size !== this.#folder.size || differs(folder, this.#folder) ||
        differs(outside, new Map([...outside, ...this.#outside]));
      [this.#folder, this.#outside] = [folder, outside];
      if (changed && !this.#stopped) this.onChange();
    } catch (error) {
      this.options.onWarning(`Cannot look through ${this.scope.folder}: ${String(error)}`);
    }
    this.#plan();
  }
}

function differs(now: Map<string, Mark>, before: Map<string, Mark>): boolean {
  return [...now].some(([path, { state }]) => before.get(path)?.state !== state);
}
