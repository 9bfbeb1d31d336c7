/** The files and facts embedded in the single binary. */
export interface Embedded {
  /** The commit it was built from, followed by `-dirty` if files differed from that. */
  commit: string;
  /** The target of the build: `linux-x64`. */
  target: string;
  /** esbuild's own executable, which must be on disk to be started. */
  esbuild: EmbeddedFile;
  /** The path of SQLite's WebAssembly inside the binary. */
  sqlite: string;
  /** The paths of the console's script and stylesheet inside the binary. */
  console: { script: string; style: string };
  /** The path of a JSON file inside the binary with the sources of the types that rule files import, by path; the first one is the entry. */
  editorTypes: string;
  /** The path of a compressed JSON file inside the binary with the notices of all that is in it. */
  licenses: string;
}

export interface EmbeddedFile {
  /** Its path inside the binary. */
  path: string;
  /** The hash of its content, in hexadecimal digits. */
  hash: string;
}

/** Undefined if the program runs from source; `bin/build/compile.ts` replaces this module. */
export const embedded: Embedded | undefined = undefined;
