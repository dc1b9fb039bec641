// What `make scan` found out about vulnerabilities: image/known.json. A build takes it as it is, so that it needs no network
// and says the same anywhere; and refuses it when it is not about what is being built.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Finding, Triage } from "../describe/triage.ts";
import type { Lock } from "../inputs/lock.ts";
import { listLinkedParts } from "./linked-parts.ts";

export interface KnownVulnerability {
  readonly id: string;
  /** `debian/SOURCE`, `node/PART` or `own/PART`. */
  readonly component: string;
  /** The lowest Debian version, or version of Node, that is known to be without it. */
  readonly fixedIn: string;
  /** What could be taken now that has the fix, or may have it; undefined where there is nothing. */
  readonly takeable?: string;
}

export interface Compared {
  readonly component: string;
  readonly version: string;
  /** What it was compared with; empty where nothing is to be had. */
  readonly with: readonly string[];
}

export interface Known {
  /** Of the newest list of packages that was looked at, as YYYY-MM-DD. */
  readonly date: string;
  readonly found: readonly KnownVulnerability[];
  readonly compared: readonly Compared[];
}

export const KNOWN_PATH = join(import.meta.dirname, "../known.json");

/** @throws {Error} when it is not of the form that `make scan` writes. */
export function readKnown(path: string = KNOWN_PATH): Known {
  const value: unknown = JSON.parse(readFileSync(path, "utf8"));
  const refuse = (what: string): never => {
    throw new Error(`Cannot use image/known.json: ${what}; run make scan`);
  };
  const isText = (each: unknown): boolean => typeof each === "string" && each !== "";
  const known = value as Partial<Known> | null;
  if (typeof known !== "object" || known === null) return refuse("it is no object");
  const { date, found, compared } = known;
  if (typeof date !== "string" || !/^\d{4}-\d\d-\d\d$/.test(date)) return refuse("it has no date as YYYY-MM-DD");
  if (!Array.isArray(found) || !Array.isArray(compared)) return refuse("found or compared is no list");
  for (const each of found)
    if (!isText(each.id) || !isText(each.component) || !isText(each.fixedIn)) refuse("a finding lacks a field");
  for (const each of compared)
    if (!isText(each.component) || !isText(each.version) || !Array.isArray(each.with))
      refuse("a comparison lacks a field");
  return { date, found, compared };
}

/** What must be in the images' comparisons: every Debian source of an image, and every linked part. */
export function listComparable(lock: Lock): { readonly component: string; readonly version: string }[] {
  const shipped = lock.packages.filter(({ sets }) => sets.some((set) => set !== "test"));
  const sources = new Map(shipped.map(({ source, sourceVersion }) => [source, sourceVersion]));
  return [
    ...[...sources].map(([source, version]) => ({ component: `debian/${source}`, version })),
    ...listLinkedParts().map(({ component, version }) => ({ component, version })),
  ];
}

/** One line for each thing that keeps the images from being described: not compared, not judged, judged but gone, to be
 * had and not taken without a reason. */
export function listObjections(
  known: Known,
  triage: Triage,
  comparable: readonly { readonly component: string; readonly version: string }[],
): string[] {
  const versions = new Map(known.compared.map(({ component, version }) => [component, version]));
  const judged = new Map(triage.findings.map((finding) => [keyOf(finding), finding]));
  const found = new Set(known.found.map(keyOf));
  return [
    ...comparable.flatMap(({ component, version }) =>
      versions.get(component) === version
        ? []
        : [`${component} ${version}: ${versions.get(component) ?? "nothing"} was compared; run make scan`],
    ),
    ...known.found.flatMap((each) => {
      const finding = judged.get(keyOf(each));
      if (finding === undefined) return [`${each.id} of ${each.component}: not judged in image/triage.json`];
      return each.takeable === undefined || finding.waits !== undefined || isNothingToFix(finding)
        ? []
        : [`${each.id} of ${each.component}: ${each.takeable} is to be had; take it, or say why not in "waits"`];
    }),
    ...triage.findings.flatMap((finding) =>
      found.has(keyOf(finding)) ? [] : [`${finding.id} of ${finding.component}: judged, and not known any more`],
    ),
  ];
}

/** Those that could be fixed by taking what is there, and are not. */
export function listFixable(
  known: Known,
  triage: Triage,
): { readonly known: KnownVulnerability; readonly finding: Finding }[] {
  const judged = new Map(triage.findings.map((finding) => [keyOf(finding), finding]));
  return known.found.flatMap((each) => {
    const finding = judged.get(keyOf(each));
    return each.takeable === undefined || finding === undefined || isNothingToFix(finding)
      ? []
      : [{ known: each, finding }];
  });
}

/** Whether taking another version would change nothing: ours never had it, or has it no more. */
function isNothingToFix({ status, justification }: Finding): boolean {
  return (
    status === "fixed" || justification === "component_not_present" || justification === "vulnerable_code_not_present"
  );
}

export function keyOf({ id, component }: { readonly id: string; readonly component: string }): string {
  return `${id} ${component}`;
}
