/** What travels inside the single binary. */
export interface Embedded {
  /** The commit it was built from, with `-dirty` behind it where files differed from that. */
  commit: string;
  /** What it was built for: `linux-x64`. */
  target: string;
  /** esbuild's own executable, which has to lie on disk to be started. */
  esbuild: EmbeddedFile;
  /** Where SQLite's WebAssembly can be read from inside the binary. */
  sqlite: string;
  /** The sources of what rule files import, by their path in `runtime/`; the first one is the entry. */
  editorTypes: Record<string, string>;
}

export interface EmbeddedFile {
  /** Where it can be read from inside the binary. */
  path: string;
  /** Of its content, in hexadecimal digits. */
  hash: string;
}

/** Undefined where the program runs from source; `bin/build/compile.ts` puts a module in the place of this one. */
export const embedded: Embedded | undefined = undefined;
