// Rules in iptables legacy, by its own programs: the kernel's interface for it has no partial change and no readable
// layout of its own. One iptables-legacy-restore per family and change, one iptables-legacy-save per family and look, none
// at all where a namespace has no legacy table.
//
// The lock is a file lock on the namespace itself: the child holds it as descriptor 3, and upstream's agents lock the same
// file by its path (contract 5.8). The host's /run/xtables.lock is never touched.
import { FAMILIES } from "../../core/address.ts";
import { drainSteps } from "../../core/policy/backend-drain.ts";
import { type Change, diffRulesets } from "../../core/rules/diff.ts";
import type { Rule, Ruleset } from "../../core/rules/model.ts";
import { parseLegacySave } from "../../core/rules/parse-legacy-save.ts";
import { podRules } from "../../core/rules/pod-capture.ts";
import type { LegacyRule } from "../../core/rules/render-legacy-restore.ts";
import { renderLegacyRestore } from "../../core/rules/render-legacy-restore.ts";
import type { ExecRequest, ExecResult } from "../../platform/exec/exec.ts";
import { limitExec } from "./exec-limit.ts";
import { NetfilterError, type RuleStore } from "./rule-store.ts";

export interface LegacyDeps {
  exec(request: ExecRequest): Promise<ExecResult>;
  findProgram(name: string): string | undefined;
  /** Names of the legacy tables of a namespace, without making any. */
  legacyTables(netnsFd: number): Readonly<Record<4 | 6, readonly string[]>>;
}

/** Every program this backend runs. */
export const LEGACY_PROGRAMS = [
  "iptables-legacy-restore",
  "iptables-legacy-save",
  "ip6tables-legacy-restore",
  "ip6tables-legacy-save",
] as const;

const TOOL = { 4: "iptables-legacy", 6: "ip6tables-legacy" } as const;
const TIMEOUT_MS = 10_000;
/** More would only wait for each other: the kernel replaces the tables of a family under one mutex (net/netfilter/x_tables.c). */
const MAX_PROGRAMS = 4;
/** Seconds to wait for the lock, below our own deadline. */
const LOCK_WAIT_S = 5;
/** Deleting names a rule by its text, and of two equal ones takes the first: a second look then puts the order right. */
const MAX_ROUNDS = 4;

export function createLegacyStore(deps: LegacyDeps): RuleStore {
  const exec = limitExec(deps.exec, MAX_PROGRAMS);

  async function read(netnsFd: number): Promise<Ruleset<LegacyRule>[]> {
    const tables = deps.legacyTables(netnsFd);
    const families = FAMILIES.map((family) =>
      tables[family].length === 0 ? { family, tables: [] } : save(netnsFd, family),
    );
    return Promise.all(families);
  }

  async function save(netnsFd: number, family: 4 | 6): Promise<Ruleset<LegacyRule>> {
    const { stdout } = await exec({
      argv: [program(`${TOOL[family]}-save`)],
      netnsFd,
      timeoutMs: TIMEOUT_MS,
    });
    return parseLegacySave(stdout, family);
  }

  async function restore(netnsFd: number, family: 4 | 6, input: string): Promise<void> {
    await exec({
      argv: [program(`${TOOL[family]}-restore`), "--noflush", `--wait=${LOCK_WAIT_S}`],
      input,
      env: { XTABLES_LOCKFILE: "/proc/self/fd/3" },
      netnsFd,
      timeoutMs: TIMEOUT_MS,
    });
  }

  /** Reads and writes until nothing is left to write; false: there was nothing. */
  async function change(
    netnsFd: number,
    stepsFrom: (held: readonly Ruleset<LegacyRule>[]) => readonly Change<LegacyRule>[],
  ): Promise<boolean> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const held = await read(netnsFd);
      const changes = stepsFrom(held);
      if (changes.length === 0) return round > 0;
      for (const family of FAMILIES) {
        const input = renderLegacyRestore(changes, family);
        if (input !== "") await restore(netnsFd, family, input);
      }
      // Nothing was there that what we wrote could have met.
      if (held.every(({ tables }) => tables.length === 0)) return true;
    }
    const state = `its rules were still not as written after ${MAX_ROUNDS} attempts, somebody else changes them`;
    throw new NetfilterError("contended", `Cannot program the pod: ${state}`);
  }

  function program(name: string): string {
    const path = deps.findProgram(name);
    if (path !== undefined) return path;
    throw new NetfilterError("unsupported", `Cannot program the pod as iptables-legacy: there is no program ${name}`);
  }

  return {
    dialect: "iptables-legacy",
    isAvailable: () => LEGACY_PROGRAMS.every((name) => deps.findProgram(name) !== undefined),
    rulesFor: podRules,
    difference,
    read,
    converge: (netnsFd, desired, formerly) => change(netnsFd, (held) => difference(held, desired, formerly)),
    detach: (netnsFd) => change(netnsFd, drainSteps),
  };
}

/** Tables and base chains are there as soon as anything is written, and stay until the namespace ends: the kernel takes them
 * away with the namespace or with its module only (net/ipv4/netfilter/iptable_nat.c, iptable_nat_net_exit). */
function difference<H extends Rule>(
  held: readonly Ruleset<H>[],
  desired: readonly Ruleset[],
  formerly: readonly Ruleset[],
): Change<H>[] {
  const steps = diffRulesets(held, desired, formerly);
  const isStep = (step: Change<H>): boolean =>
    step.kind !== "delete-table" &&
    !(step.kind === "add-chain" && step.chain.kind === "base") &&
    step.kind !== "add-table";
  return steps.some(isStep) ? steps : [];
}
