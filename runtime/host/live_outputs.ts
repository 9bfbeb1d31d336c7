import { TextDecoder } from "node:util";

/** Characters of an output that are kept: far more than are shown, so that a secret at the cut is not shown in part. */
const KEPT = 64 * 1_024;
/** Milliseconds after which an unfinished line is shown: its end may come with the next bytes. */
const SETTLES = 1_000;
/** Maximum number of outputs; the oldest is evicted first. */
const MOST = 200;

/** Takes what a program prints. */
export interface LiveOutput {
  write(stream: "stdout" | "stderr", bytes: Uint8Array): void;
  /** The program has ended; its output is in the record of its step. */
  close(): void;
}

/** The end of what a running program has printed. */
export interface ShownOutput {
  step: string;
  text: string;
  /** Whether there was more before it. */
  isCut: boolean;
}

/**
 * What running programs print, while they run: the end of each output, in memory. Both streams are one text, as on a
 * terminal.
 */
export class LiveOutputs {
  readonly #open = new Set<OpenOutput>();
  #changes = 0;

  /** Increases with each change. */
  changes(): number {
    return this.#changes;
  }

  /** Those of a run, in the order in which its programs were started. */
  of(run: string): ShownOutput[] {
    return [...this.#open].filter((output) => output.run === run).map((output) => output.shown());
  }

  open(run: string, step: string, charset?: string): LiveOutput {
    const output = new OpenOutput(run, step, charset, () => this.#changes++);
    this.#open.add(output);
    if (this.#open.size > MOST) this.#open.delete(this.#open.values().next().value!);
    this.#changes++;
    return {
      write: (stream, bytes) => output.write(stream, bytes),
      close: () => {
        output.close();
        this.#open.delete(output);
        this.#changes++;
      },
    };
  }
}

class OpenOutput {
  readonly #decoders: Record<"stdout" | "stderr", TextDecoder>;
  #text = "";
  #isCut = false;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #isSettled = false;

  constructor(
    readonly run: string,
    private readonly step: string,
    charset: string | undefined,
    private readonly onChange: () => void,
  ) {
    this.#decoders = { stdout: decoderOf(charset), stderr: decoderOf(charset) };
  }

  write(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#text += this.#decoders[stream].decode(bytes, { stream: true });
    if (this.#text.length > 2 * KEPT) {
      this.#text = this.#text.slice(-KEPT);
      this.#isCut = true;
    }
    this.#isSettled = false;
    clearTimeout(this.#settling);
    if (!this.#text.endsWith("\n")) this.#settling = setTimeout(() => this.#settle(), SETTLES);
    this.onChange();
  }

  /** An unfinished line may be half of a secret, which no mask would find. */
  shown(): ShownOutput {
    const text = this.#isSettled ? this.#text : this.#text.slice(0, this.#text.lastIndexOf("\n") + 1);
    return { step: this.step, text, isCut: this.#isCut };
  }

  close(): void {
    clearTimeout(this.#settling);
  }

  #settle(): void {
    this.#isSettled = true;
    this.onChange();
  }
}

/** Bytes that are no text in the charset do not stop anything here: the step fails over them when it ends. */
function decoderOf(charset = "utf-8"): TextDecoder {
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}
