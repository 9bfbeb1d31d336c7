import type { KeptServer } from "../host/kept_server.ts";
import type { Prebuilt } from "../folder/typescript/typescript_files.ts";
import type { UpperValue } from "../model/config.ts";

export const DEFAULT_HOST = "127.0.0.1";
export const DEFAULT_PORT = 8080;

/** The options that the program starts with. */
export interface AppOptions {
  /** The rules folder, absolute. */
  folder: string;
  /** The data folder, absolute. */
  data: string;
  /** The URL of a database that the state is in; the data folder is chosen by it then. */
  database?: string;
  /** Overrides `whenthen.yaml`; 0 means a free port. */
  port?: number;
  host?: string;
  /** Name of the environment: `config.<env>.yaml` overrides `config.yaml`. */
  env?: string;
  /** Config values from the command line. */
  set?: UpperValue[];
  /** Whether the rules were in another folder when the data folder was last used. */
  moved?: boolean;
  /** TypeScript files of the folder that are bundled already. */
  prebuilt?: Prebuilt;
  /** The value of `WHENTHEN_TOKEN`, which requests must carry. */
  token?: string;
  version: string;
  /** Set if another program follows in this process when this one is lost: that one goes on with the server. */
  kept?: KeptServer;
}
