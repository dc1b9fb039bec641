// Golden text of the case table: what a case's rules add to and take from those of a pod that sets nothing, which stand in
// full beside the rules (src/core/rules/testdata/sidecar). Lines with their intent, so that a file reads as a sentence.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { sidecarInetRules, sidecarRules } from "../../src/core/rules/sidecar.ts";
import type { SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { CASES, type Case, planOf } from "./case-table-cases.ts";
import type { Mode } from "./case-table-probes.ts";

export type Language = "iptables" | "nft";

const MODES: readonly Mode[] = ["REDIRECT", "TPROXY"];
const LANGUAGES: readonly Language[] = ["iptables", "nft"];
const FULL: Record<Mode, string> = { REDIRECT: "default", TPROXY: "tproxy" };

/** The rules of a case in both families, as text. */
export function caseText(testCase: Case, mode: Mode, language: Language): string {
  const { dualStack: _, ...plan } = planOf(testCase, mode, true);
  const capture: SidecarCapture = { ...plan, families: { v4: true, v6: true } };
  return language === "nft"
    ? renderNft(sidecarInetRules(capture), { withIntent: true })
    : sidecarRules(capture).map(familyText).join("");
}

/** One family's part of it. */
export function familyText(ruleset: Ruleset): string {
  return `# IPv${ruleset.family}\n${renderIptables(ruleset, { withIntent: true })}`;
}

/** @throws {AssertionError} when the case's rules are not those of its golden file. UPDATE_GOLDEN=1 writes it instead. */
export function assertGolden(testCase: Case): void {
  const sections = MODES.flatMap((mode) =>
    LANGUAGES.map((language) => `# ${mode} ${language}\n${difference(testCase, mode, language)}`),
  );
  const file = new URL(`testdata/case-table/${testCase.name.replaceAll(/[^A-Za-z0-9]+/g, "-")}.txt`, import.meta.url);
  const text = sections.join("");
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
  assert.equal(text, readFileSync(file, "utf8"), `golden text of "${testCase.name}"`);
}

/** @throws {AssertionError} when a pod that sets nothing has not the rules that stand in full. */
export function assertDefaultsGolden(): void {
  const defaults = CASES.find(({ name }) => name === "defaults") ?? assert.fail("no case sets nothing");
  for (const mode of MODES) {
    for (const language of LANGUAGES) {
      const path = `../../src/core/rules/testdata/sidecar/${FULL[mode]}.${language}`;
      assert.equal(caseText(defaults, mode, language), readFileSync(new URL(path, import.meta.url), "utf8"));
    }
  }
}

/** Lines that come (+) and go (-), each group after the line it follows. */
function difference(testCase: Case, mode: Mode, language: Language): string {
  const before = usualText(mode, language).split("\n");
  const after = caseText(testCase, mode, language).split("\n");
  const common = commonLines(before, after);
  const lines: string[] = [];
  let [left, right, isOpen] = [0, 0, false];
  for (const [keptLeft, keptRight] of [...common, [before.length, after.length] as const]) {
    isOpen = left < keptLeft || right < keptRight;
    if (isOpen) lines.push(`@ ${before[left - 1] ?? "the start"}`);
    lines.push(...before.slice(left, keptLeft).map((line) => `- ${line}`));
    lines.push(...after.slice(right, keptRight).map((line) => `+ ${line}`));
    [left, right] = [keptLeft + 1, keptRight + 1];
  }
  return lines.map((line) => `${line}\n`).join("");
}

function usualText(mode: Mode, language: Language): string {
  const path = `../../src/core/rules/testdata/sidecar/${FULL[mode]}.${language}`;
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

/** A longest common subsequence, as pairs of places. */
function commonLines(before: readonly string[], after: readonly string[]): [number, number][] {
  const width = after.length + 1;
  const longest = new Uint16Array((before.length + 1) * width);
  const at = (row: number, column: number): number => longest[row * width + column] ?? 0;
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      const isSame = before[row] === after[column];
      longest[row * width + column] = isSame
        ? at(row + 1, column + 1) + 1
        : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const pairs: [number, number][] = [];
  for (let [row, column] = [0, 0]; row < before.length && column < after.length; ) {
    if (before[row] === after[column]) pairs.push([row++, column++]);
    else if (at(row + 1, column) >= at(row, column + 1)) row++;
    else column++;
  }
  return pairs;
}
