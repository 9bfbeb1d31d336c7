import { existsSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { cwd, env } from "node:process";
import { pathToFileURL } from "node:url";
import manifest from "../../../package.json" with { type: "json" };
import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";
import type { TestReport } from "../../../runtime/testing/run_tests.ts";
import { failureText } from "./checks.ts";
import { visible } from "./terminal.ts";

/** The formats of `check`, besides text and JSON. */
export const REPORTS = ["github", "sarif", "junit"] as const;

/** A problem whose file is a path from the root of the repository, or an absolute path outside of it; with slashes. */
export type Reported = Problem;

/**
 * The folder that CI takes paths from: that of the workflow on GitHub, else the repository around the current folder, else
 * the current folder.
 */
export function repositoryRoot(): string {
  const here = cwd();
  const workspace = env.GITHUB_WORKSPACE;
  if (workspace && `${here}/`.startsWith(`${workspace.replace(/\/$/, "")}/`)) return workspace;
  for (let folder = here;; folder = dirname(folder)) {
    if (existsSync(join(folder, ".git"))) return folder;
    if (folder === dirname(folder)) return here;
  }
}

/** A path of a rules folder as one from `root`; absolute if it lies outside. */
export function pathFrom(root: string, folder: string, file: string): string {
  const path = join(folder, file);
  const inside = relative(root, path);
  return (inside.startsWith("..") ? path : inside).split(sep).join("/");
}

/** Workflow commands of GitHub Actions, which become annotations: `::error file=…,line=…::message`. */
export function githubAnnotations(problems: Reported[]): string {
  return problems.map(({ severity, file, at, message, hint }) => {
    const { line, column, length = 1 } = at;
    const place = { file, line, endLine: line, col: column, endColumn: column + length, title: "whenthen" };
    const properties = Object.entries(place).map(([name, value]) => `${name}=${escapeProperty(String(value))}`);
    return `::${severity} ${properties.join(",")}::${escapeData([message, hint].filter(Boolean).join("\n"))}\n`;
  }).join("");
}

/** As `@actions/core` escapes the text of a command. */
function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

const SARIF_RULES = [
  { id: "problem", level: "error", text: "The file does not load" },
  { id: "warning", level: "warning", text: "The file loads, but may not do what it seems to" },
] as const;

/** A log of SARIF 2.1.0 (OASIS), as GitHub's code scanning takes it. */
export function sarifLog(problems: Reported[], root: string): object {
  const results = problems.map(({ severity, file, at, message, hint, sourceLine }) => {
    const ruleIndex = SARIF_RULES.findIndex(({ level }) => level === severity);
    const artifactLocation = file.startsWith("/")
      ? { uri: pathToFileURL(file).href }
      : { uri: file.split("/").map(encodeURIComponent).join("/"), uriBaseId: "SRCROOT" };
    const { line, column, length = 1 } = at;
    const snippet = sourceLine === undefined ? {} : { snippet: { text: sourceLine } };
    return {
      ruleId: SARIF_RULES[ruleIndex].id,
      ruleIndex,
      level: severity,
      message: { text: [message, hint].filter(Boolean).join("\n") },
      locations: [{
        physicalLocation: {
          artifactLocation,
          region: { startLine: line, startColumn: column, endLine: line, endColumn: column + length, ...snippet },
        },
      }],
    };
  });
  const rules = SARIF_RULES.map(({ id, level, text }) => {
    return { id, shortDescription: { text }, defaultConfiguration: { level } };
  });
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [{
      tool: { driver: { name: "whenthen", semanticVersion: manifest.version, rules } },
      originalUriBaseIds: { SRCROOT: { uri: `${pathToFileURL(root).href}/` } },
      columnKind: "utf16CodeUnits",
      invocations: [{ executionSuccessful: true }],
      results,
    }],
  };
}

/** One case of a JUnit report. */
interface Case {
  file: string;
  line?: number;
  name: string;
  /** Milliseconds. */
  took?: number;
  /** Why it failed; `error` if it could not even be tried. */
  failed?: { as: "failure" | "error"; message: string; text: string };
  /** What it says although it passed. */
  says?: string;
}

/**
 * `check` as JUnit: a case for each problem, and one for each file without problems. A warning passes.
 * @param files all that were checked
 */
export function junitOfCheck(files: string[], problems: Reported[]): Promise<string> {
  const withProblems = new Set(problems.map(({ file }) => file));
  const clean = files.filter((file) => !withProblems.has(file));
  return junit("whenthen check", [
    ...clean.map((file): Case => ({ file, name: "loads" })),
    ...problems.map((problem): Case => {
      const { file, at, message, severity } = problem;
      const text = formatProblem(problem);
      const failed = { as: "failure" as const, message, text };
      const name = `line ${at.line}: ${message}`;
      return { file, line: at.line, name, ...severity === "error" ? { failed } : { says: text } };
    }),
  ]);
}

/** `test` as JUnit: a case for each test, and one for each problem of a file that does not load. */
export function junitOfTests({ results, problems }: TestReport, pathOf: (file: string) => string): Promise<string> {
  return junit("whenthen test", [
    ...results.map(({ file, at, name, took, failure }): Case => {
      const failed = failure && { as: "failure" as const, message: failure.message, text: failureText(failure) };
      return { file: pathOf(file), line: at.line, name, took, ...failed && { failed } };
    }),
    ...problems.map((problem): Case => {
      const { file, at, message } = problem;
      const failed = { as: "error" as const, message, text: formatProblem(problem) };
      return { file: pathOf(file), line: at.line, name: "loads", failed };
    }),
  ]);
}

/** A report in the form that Jenkins, GitLab and most others read; a suite for each file. */
async function junit(name: string, cases: Case[]): Promise<string> {
  const { XMLBuilder } = await import("fast-xml-parser");
  const builder = new XMLBuilder({
    format: true,
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    suppressEmptyNode: true,
  });
  const suites = [...Map.groupBy(cases, ({ file }) => file)].map(([file, all]) => ({
    "@name": oneLine(file),
    ...countsOf(all),
    testcase: all.map(({ line, name, took = 0, failed, says }) => ({
      "@name": oneLine(name),
      "@classname": oneLine(file),
      "@file": oneLine(file),
      ...line !== undefined && { "@line": line },
      "@time": seconds(took),
      ...failed &&
        { [failed.as]: { "@message": oneLine(failed.message), "@type": failed.as, "#text": plain(failed.text) } },
      ...says !== undefined && { "system-out": plain(says) },
    })),
  }));
  const xml = { "@name": name, ...countsOf(cases), testsuite: suites };
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ testsuites: xml })}`;
}

function countsOf(cases: Case[]): Record<string, string | number> {
  return {
    "@tests": cases.length,
    "@failures": cases.filter(({ failed }) => failed?.as === "failure").length,
    "@errors": cases.filter(({ failed }) => failed?.as === "error").length,
    "@time": seconds(cases.reduce((sum, { took = 0 }) => sum + took, 0)),
  };
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(3);
}

/** XML has no control characters, not even escaped, and no halves of characters. */
function plain(text: string): string {
  return visible(text).toWellFormed().replaceAll(/[\uFFFE\uFFFF]/g, "�");
}

/** A parser reads line breaks in an attribute as spaces. */
function oneLine(text: string): string {
  return plain(text).replaceAll(/\s+/g, " ");
}
