// `install-cni doctor` for people: a summary, then one line per check; what is not good says why it matters and what to do.

import { type Cell, type Colour, paint, printable, renderColumns } from "../text-columns.ts";
import type { CheckResult } from "./check.ts";
import type { Diagnosis } from "./diagnosis.ts";

const WORDS: Readonly<Record<CheckResult, string>> = {
  ok: "ok",
  warn: "WARN",
  fail: "FAIL",
  unknown: "unknown",
  "not-applicable": "-",
};
const COLOURS: Readonly<Record<CheckResult, Colour | undefined>> = {
  ok: "green",
  warn: "yellow",
  fail: "red",
  unknown: "yellow",
  "not-applicable": undefined,
};

/** Ends with a line break. */
export function renderDiagnosis(diagnosis: Diagnosis, { hasColours }: { readonly hasColours: boolean }): string {
  const { node, mode, version, checks } = diagnosis;
  const rows = checks.map(({ id, result, finding }): Cell[] => [cellOf(result), id, finding]);
  const lines = renderColumns(rows, hasColours).split("\n");
  const body = checks.map(({ result, meaning, nextStep }, index) => {
    const line = lines[index] ?? "";
    if (result !== "fail" && result !== "warn" && nextStep === null) return `${line}\n`;
    const next = nextStep === null ? "" : `           next: ${printable(nextStep)}\n`;
    return `${line}\n           ${printable(meaning)}\n${next}`;
  });
  const head = `Node ${printable(node)}, ${mode} mode, install-cni ${printable(version)}: ${paint(summaryOf(diagnosis), hasColours)}\n\n`;
  return head + body.join("");
}

function summaryOf({ result, counts, checks }: Diagnosis): Cell {
  const parts = [
    `${checks.length} checks`,
    ...(counts.fail > 0 ? [`${counts.fail} failed`] : []),
    ...(counts.warn > 0 ? [`${counts.warn} warn`] : []),
    ...(counts.unknown > 0 ? [`${counts.unknown} unknown`] : []),
  ];
  const text = parts.length === 1 ? `${parts[0]}, all good` : parts.join(", ");
  const colour = COLOURS[result];
  return colour === undefined ? text : { text, colour };
}

function cellOf(result: CheckResult): Cell {
  const colour = COLOURS[result];
  return colour === undefined ? WORDS[result] : { text: WORDS[result], colour };
}
