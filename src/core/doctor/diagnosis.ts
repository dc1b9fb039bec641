/**
 * `install-cni doctor`: every check in its order, decided on the facts; the document it prints as JSON, and how it ends.
 */

import { cutText } from "../short-text.ts";
import { exactly, listOf, NUMBER, object, oneOf, orNull, TEXT, type TypeOf } from "../status/shape.ts";
import { AGENT_CHECKS } from "./agent-checks.ts";
import { API_CHECKS } from "./api-checks.ts";
import { CHECK_RESULTS, type CheckResult, type CheckRow } from "./check.ts";
import { CNI_CHECKS } from "./cni-checks.ts";
import { FOLDER_CHECKS } from "./folder-checks.ts";
import { KERNEL_CHECKS } from "./kernel-checks.ts";
import type { NodeFacts } from "./node-facts.ts";
import { RIGHTS_CHECKS } from "./rights-checks.ts";

/** All of them, in the order of the report: what stands lower needs what stands higher. */
export const ALL_CHECKS: readonly CheckRow[] = [
  ...KERNEL_CHECKS,
  ...RIGHTS_CHECKS,
  ...FOLDER_CHECKS,
  ...CNI_CHECKS,
  ...API_CHECKS,
  ...AGENT_CHECKS,
];

/** Ends of the command. usage: nothing was looked at. */
export const DOCTOR_EXIT_CODES = { allGood: 0, warns: 1, failed: 2, usage: 3 } as const;

export const DIAGNOSIS_SCHEMA_VERSION = 1;

/** The document of `--output json`. Within one schema version keys and checks are only added. */
export const DIAGNOSIS = object({
  schemaVersion: exactly(DIAGNOSIS_SCHEMA_VERSION),
  at: TEXT,
  node: TEXT,
  version: TEXT,
  mode: oneOf(["sidecar", "ambient"]),
  /** The worst result: fail before warn before unknown before ok. */
  result: oneOf(CHECK_RESULTS),
  counts: object({ ok: NUMBER, warn: NUMBER, fail: NUMBER, unknown: NUMBER, "not-applicable": NUMBER }),
  checks: listOf(
    object({
      id: TEXT,
      result: oneOf(CHECK_RESULTS),
      /** What is so on this node. */
      finding: TEXT,
      /** Why it matters. */
      meaning: TEXT,
      /** What a person can do; null where nothing is to be done. */
      nextStep: orNull(TEXT),
    }),
  ),
});
export type Diagnosis = TypeOf<typeof DIAGNOSIS>;

/** Names of pods and files are others' words, and lists of them may be long. */
const MAX_WORDS = 2000;
const WORST_FIRST: readonly CheckResult[] = ["fail", "warn", "unknown", "ok", "not-applicable"];

export function diagnose(facts: NodeFacts, rows: readonly CheckRow[] = ALL_CHECKS): Diagnosis {
  const checks = rows.map((row) => {
    const { result, finding, nextStep } = row.decide(facts);
    return {
      id: row.id,
      result,
      finding: cutText(finding, MAX_WORDS),
      meaning: row.meaning,
      nextStep: nextStep === undefined ? null : cutText(nextStep, MAX_WORDS),
    };
  });
  const count = (wanted: CheckResult): number => checks.filter(({ result }) => result === wanted).length;
  return {
    schemaVersion: DIAGNOSIS_SCHEMA_VERSION,
    at: new Date(facts.wallMs).toISOString(),
    node: facts.nodeName,
    version: facts.version,
    mode: facts.settings.ambient.enabled ? "ambient" : "sidecar",
    result: WORST_FIRST.find((result) => count(result) > 0) ?? "ok",
    counts: {
      ok: count("ok"),
      warn: count("warn"),
      fail: count("fail"),
      unknown: count("unknown"),
      "not-applicable": count("not-applicable"),
    },
    checks,
  };
}

/** What could not be found out is worth a look, as a warning is. */
export function exitCodeOf({ result }: Diagnosis): (typeof DOCTOR_EXIT_CODES)[keyof typeof DOCTOR_EXIT_CODES] {
  if (result === "fail") return DOCTOR_EXIT_CODES.failed;
  return result === "warn" || result === "unknown" ? DOCTOR_EXIT_CODES.warns : DOCTOR_EXIT_CODES.allGood;
}
