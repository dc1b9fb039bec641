// What each vulnerability that `make scan` finds means for the images: image/triage.json, which people write
// (docs/images.md, "Vulnerabilities").
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** OpenVEX 0.2.0. */
export const STATUSES = ["not_affected", "affected", "fixed", "under_investigation"] as const;
export const JUSTIFICATIONS = [
  "component_not_present",
  "vulnerable_code_not_present",
  "vulnerable_code_not_in_execute_path",
  "vulnerable_code_cannot_be_controlled_by_adversary",
  "inline_mitigations_already_exist",
] as const;

/** Something a machine can look at in the image itself; the build fails when it does not hold. */
export type Evidence =
  /** No program or library of the image imports any of these symbols, those of the source itself left aside. */
  | { readonly kind: "symbols-not-imported"; readonly symbols: readonly string[] }
  /** No path of the image matches. */
  | { readonly kind: "path-absent"; readonly pattern: string }
  /** The agent's bundle names none of these modules of Node. */
  | { readonly kind: "modules-not-used"; readonly modules: readonly string[] }
  /** No C source of launcher and plugin names any of these functions. */
  | { readonly kind: "functions-not-named"; readonly functions: readonly string[] };

const EVIDENCE_KINDS: readonly string[] = [
  "symbols-not-imported",
  "path-absent",
  "modules-not-used",
  "functions-not-named",
] satisfies readonly Evidence["kind"][];

export interface Finding {
  readonly id: string;
  /** As `make scan` names it: `debian/SOURCE`, `node/PART` or `own/PART`. */
  readonly component: string;
  readonly status: (typeof STATUSES)[number];
  readonly justification?: (typeof JUSTIFICATIONS)[number];
  /** Why, in a sentence; with status affected: what to do. */
  readonly statement: string;
  readonly evidence?: readonly Evidence[];
  /** Why a version that may be without it is not taken, and since when, as YYYY-MM-DD. */
  readonly waits?: { readonly since: string; readonly reason: string };
}

export interface Triage {
  readonly findings: readonly Finding[];
}

export const TRIAGE_PATH = join(import.meta.dirname, "../triage.json");

/** @throws {Error} that names the finding and what is wrong with it. */
export function readTriage(path: string = TRIAGE_PATH): Triage {
  const value = JSON.parse(readFileSync(path, "utf8")) as Triage;
  if (!Array.isArray(value.findings)) throw new Error("Cannot use image/triage.json: it has no findings");
  const seen = new Set<string>();
  for (const { id, component, status, justification, statement, waits, evidence = [] } of value.findings) {
    const refuse = (what: string): never => {
      throw new Error(`Cannot use image/triage.json: ${id} of ${component} ${what}`);
    };
    if (!/^CVE-\d{4}-\d{4,}$/.test(id)) refuse("is no CVE id");
    if (!/^(debian|node|own)\/[a-z0-9][a-z0-9.+-]*$/.test(component)) refuse("is of no component");
    if (!STATUSES.includes(status)) refuse(`has status ${status}; known are ${STATUSES.join(", ")}`);
    if (typeof statement !== "string" || statement === "") refuse("has no statement");
    if ((status === "not_affected") !== (justification !== undefined))
      refuse("needs a justification if and only if it is not_affected");
    if (justification !== undefined && !JUSTIFICATIONS.includes(justification))
      refuse(`has justification ${justification}`);
    if (waits !== undefined && (!/^\d{4}-\d\d-\d\d$/.test(waits.since) || waits.reason === ""))
      refuse("waits since no day as YYYY-MM-DD, or without a reason");
    for (const { kind } of evidence) if (!EVIDENCE_KINDS.includes(kind)) refuse(`has evidence of unknown kind ${kind}`);
    if (seen.has(`${id} ${component}`)) refuse("is judged twice");
    seen.add(`${id} ${component}`);
  }
  return value;
}
