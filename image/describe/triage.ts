// What is known of vulnerabilities in what the images have, and what was found out about each: image/triage.json, which
// people write (docs/images.md, "Vulnerabilities").
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
  | { readonly kind: "modules-not-used"; readonly modules: readonly string[] };

export interface Finding {
  readonly id: string;
  /** Debian source package, or the name of a part of Node. */
  readonly source: string;
  readonly status: (typeof STATUSES)[number];
  readonly justification?: (typeof JUSTIFICATIONS)[number];
  /** Why, in a sentence; with status affected: what to do. */
  readonly statement: string;
  readonly evidence?: readonly Evidence[];
  /** Where a newer version fixes it that could be taken now; undefined where there is none. */
  readonly fixedVersion?: string;
}

export interface Triage {
  /** When it was last compared with what Debian has fixed, as YYYY-MM-DD. */
  readonly date: string;
  readonly findings: readonly Finding[];
}

export const TRIAGE_PATH = join(import.meta.dirname, "../triage.json");

/** @throws {Error} that names the finding and what is wrong with it. */
export function readTriage(path: string = TRIAGE_PATH): Triage {
  const value = JSON.parse(readFileSync(path, "utf8")) as Triage;
  if (!/^\d{4}-\d\d-\d\d$/.test(value.date) || !Array.isArray(value.findings))
    throw new Error("Cannot use image/triage.json: it has no date as YYYY-MM-DD or no findings");
  for (const { id, source, status, justification, statement, evidence = [] } of value.findings) {
    const refuse = (what: string): never => {
      throw new Error(`Cannot use image/triage.json: ${id} of ${source} ${what}`);
    };
    if (!/^CVE-\d{4}-\d{4,}$/.test(id)) refuse("is no CVE id");
    if (!STATUSES.includes(status)) refuse(`has status ${status}; known are ${STATUSES.join(", ")}`);
    if (typeof statement !== "string" || statement === "") refuse("has no statement");
    if ((status === "not_affected") !== (justification !== undefined))
      refuse("needs a justification if and only if it is not_affected");
    if (justification !== undefined && !JUSTIFICATIONS.includes(justification))
      refuse(`has justification ${justification}`);
    for (const each of evidence)
      if (!["symbols-not-imported", "path-absent", "modules-not-used"].includes(each.kind))
        refuse("has evidence of unknown kind");
  }
  return value;
}
