import { readFileSync } from "node:fs";
import { messageOf } from "../model/errors.ts";

/** What OpenTelemetry's environment variables say (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). */
export interface TelemetrySettings {
  /** Where traces go; absent if none are sent. */
  traces?: string;
  /** Where metrics go; absent if none are sent. */
  metrics?: string;
  sampler: { name: SamplerName; ratio: number };
  batches: { delay: number; queue: number; size: number; timeout: number };
  /** Milliseconds between two exports of metrics, and for one export. */
  interval: number;
  timeout: number;
  /** Variables whose values are not used, as sentences. */
  problems: string[];
}

type Environment = Record<string, string | undefined>;
type Signal = "TRACES" | "METRICS";

const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** Which traces are sent, as `OTEL_TRACES_SAMPLER` names it. */
type SamplerName = typeof SAMPLERS[number];

/**
 * Reads the variables that the exporters do not read themselves. They read headers, timeouts, compression and certificates, and
 * ignore those that are wrong without a word, so these are checked.
 * @returns undefined if nothing is to be sent
 */
export function readSettings(env: Environment): TelemetrySettings | undefined {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === "true") return undefined;
  const problems: string[] = [];
  const traces = addressOf(env, "TRACES", problems);
  const metrics = addressOf(env, "METRICS", problems);
  if (traces === undefined && metrics === undefined && problems.length === 0) return undefined;
  const positive = (name: string, standard: number) => readPositive(env, name, standard, problems);
  checkProtocol(env, problems);
  checkTransport(env, problems);
  const [queue, size] = [positive("OTEL_BSP_MAX_QUEUE_SIZE", 2_048), positive("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)];
  const interval = positive("OTEL_METRIC_EXPORT_INTERVAL", 60_000);
  return {
    ...traces !== undefined && { traces },
    ...metrics !== undefined && { metrics },
    sampler: readSampler(env, problems),
    batches: {
      delay: positive("OTEL_BSP_SCHEDULE_DELAY", 5_000),
      queue,
      size: Math.min(size, queue),
      timeout: positive("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
    },
    interval,
    timeout: Math.min(positive("OTEL_METRIC_EXPORT_TIMEOUT", 30_000), interval),
    problems,
  };
}

/** The signal's own address is used as it is; to the common one the path of the signal is added (OTLP specification). */
function addressOf(env: Environment, signal: Signal, problems: string[]): string | undefined {
  const exporter = `OTEL_${signal}_EXPORTER`;
  const exporters = env[exporter]?.trim();
  if (exporters === "none") return undefined;
  const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
  const name = env[own]?.trim() ? own : "OTEL_EXPORTER_OTLP_ENDPOINT";
  const text = env[name]?.trim();
  if (!text) return undefined;
  const what = signal.toLowerCase();
  if (exporters && !exporters.split(",").includes("otlp")) {
    problems.push(`${exporter} is "${exporters}": expected "otlp" or "none", so no ${what} are sent`);
    return undefined;
  }
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? "")) {
    problems.push(`${name} is "${text}": expected a URL such as http://127.0.0.1:4318, so no ${what} are sent`);
    return undefined;
  }
  return name === own ? text : `${text.replace(/\/$/, "")}/v1/${what}`;
}

function checkProtocol(env: Environment, problems: string[]): void {
  const names = [
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
  ];
  for (const name of names) {
    if (env[name]?.trim() !== "grpc") continue;
    problems.push(`${name} is "grpc": only JSON over HTTP is sent, which collectors take on port 4318`);
  }
}

/** How to send, by the end of the variable's name: what is wrong with a value, and what is expected. */
const TRANSPORT: Record<string, (text: string, name: string) => string | undefined> = {
  TIMEOUT: (text, name) =>
    Number(text) > 0 && Number.isFinite(Number(text))
      ? undefined
      : `${name} is "${text}": expected a number of milliseconds above 0, so it is ignored`,
  COMPRESSION: (text, name) =>
    ["gzip", "none"].includes(text) ? undefined : `${name} is "${text}": expected "gzip" or "none", so it is ignored`,
  HEADERS: checkHeaders,
  CERTIFICATE: checkFile,
  CLIENT_CERTIFICATE: checkFile,
  CLIENT_KEY: checkFile,
};

function checkTransport(env: Environment, problems: string[]): void {
  for (const prefix of ["OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_TRACES", "OTEL_EXPORTER_OTLP_METRICS"]) {
    for (const [what, check] of Object.entries(TRANSPORT)) {
      const name = `${prefix}_${what}`;
      const text = env[name]?.trim();
      const problem = text ? check(text, name) : undefined;
      if (problem !== undefined) problems.push(problem);
    }
  }
}

/** Without the values: they are secrets. */
function checkHeaders(text: string, name: string): string | undefined {
  const wrong = text.split(",").findIndex((entry) => entry.trim() !== "" && !isHeader(entry));
  if (wrong === -1) return undefined;
  return `Header ${wrong + 1} of ${name} is not name=value, with special characters as %2C, so it is ignored`;
}

function isHeader(entry: string): boolean {
  try {
    return /^\s*[^\s=;][^=;]*=\s*[^\s;]/.test(entry) && decodeURIComponent(entry) !== "";
  } catch {
    return false;
  }
}

function checkFile(path: string, name: string): string | undefined {
  try {
    readFileSync(path);
  } catch (error) {
    return `${name} is "${path}", which cannot be read, so it is ignored: ${messageOf(error)}`;
  }
}

function readPositive(env: Environment, name: string, standard: number, problems: string[]): number {
  const text = env[name]?.trim();
  if (!text) return standard;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  problems.push(`${name} is "${text}": expected a whole number above 0, so it is ${standard}`);
  return standard;
}

function readSampler(env: Environment, problems: string[]): TelemetrySettings["sampler"] {
  const given = env.OTEL_TRACES_SAMPLER?.trim() || "parentbased_always_on";
  const name = SAMPLERS.find((known) => known === given);
  if (name === undefined) {
    problems.push(`OTEL_TRACES_SAMPLER is "${given}": expected one of ${SAMPLERS.join(", ")}, so all traces are sent`);
  }
  const text = env.OTEL_TRACES_SAMPLER_ARG?.trim() || "1";
  const ratio = /^(0(\.\d+)?|1(\.0+)?)$/.test(text) ? Number(text) : undefined;
  if (ratio === undefined) {
    problems.push(`OTEL_TRACES_SAMPLER_ARG is "${text}": expected a number from 0 to 1, so it is 1`);
  }
  return { name: name ?? "parentbased_always_on", ratio: ratio ?? 1 };
}
