import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import {
  defaultResource,
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from "@opentelemetry/resources";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { logLine } from "../host/log_line.ts";
import { messageOf } from "../model/errors.ts";

/** The name of what makes the spans and metrics. */
export const SCOPE = "whenthen";

/** What traces and metrics say about the program: `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` come before its own values. */
export function resourceOf(version: string): Resource {
  const own = {
    "service.name": SCOPE,
    "service.version": version,
    "service.instance.id": instance,
    "host.name": hostname(),
  };
  const given = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] });
  return defaultResource().merge(resourceFromAttributes(own)).merge(given);
}

/** Distinguishes several programs, and the starts of one. */
const instance = randomUUID();

/** Reports once that exports fail, and once that they work again: the collector may be away for days. */
export class ExportReport {
  #isFailing = false;

  /** @param what `traces` */
  constructor(private readonly what: string, private readonly url: string) {}

  /** The result of one export. */
  note({ code, error }: ExportResult): void {
    const isFailure = code === ExportResultCode.FAILED;
    if (isFailure === this.#isFailing) return;
    this.#isFailing = isFailure;
    const { origin, pathname } = new URL(this.url);
    const place = `${origin}${pathname}`;
    if (!isFailure) return logLine("info", `Can send ${this.what} to ${place} again`, {});
    const reason = error === undefined ? "no reason given" : reasonOf(error);
    logLine("warn", `Cannot send ${this.what} to ${place}: ${reason}; they are lost until it works again`, {});
  }
}

/** Of a failed connection to several addresses, the errors are listed in `errors`; the message is empty. */
function reasonOf(error: Error): string {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  return messageOf(first) || String((first as { code?: unknown }).code ?? error.name);
}
