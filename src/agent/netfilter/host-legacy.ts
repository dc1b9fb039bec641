// The host's rules in iptables legacy, by its own programs: one save per family for a look, one restore per family for a
// change, none at all where the namespace has no legacy table and none is wanted. Looking makes no table.

import { FAMILIES, type Family } from "../../core/address.ts";
import { type HostPlan, type HostStep, planHostRules } from "../../core/rules/ambient-host-plan.ts";
import type { Change, HeldTables } from "../../core/rules/diff.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import { parseLegacySave } from "../../core/rules/parse-legacy-save.ts";
import { renderIptablesRule } from "../../core/rules/render-iptables.ts";
import { type LegacyRule, renderLegacyRestore } from "../../core/rules/render-legacy-restore.ts";
import type { ExecRequest, ExecResult } from "../../platform/exec/exec.ts";
import { findingOf, type HostFinding, type HostMove, type HostRuleStore, joinFindings } from "./host-rule-store.ts";
import { NetfilterError } from "./rule-store.ts";
import { throwAll } from "./throw-all.ts";

export interface HostLegacyDeps {
  exec(request: ExecRequest): Promise<ExecResult>;
  findProgram(name: string): string | undefined;
  /** Names of the legacy tables of a namespace, without making any. */
  legacyTables(netnsFd: number): Readonly<Record<4 | 6, readonly string[]>>;
  /**
   * The lock that other programs of the node take (/run/xtables.lock as this process sees it); undefined: it is not to be
   * seen from here. Without a lock the kernel drops what another program wrote between our reading and writing.
   */
  legacyLock(): string | undefined;
}

const TOOL = { 4: "iptables-legacy", 6: "ip6tables-legacy" } as const;
const TIMEOUT_MS = 20_000;
/** Seconds to wait for the lock, below our own deadline: kube-proxy may hold it for long. */
const LOCK_WAIT_S = 10;
const MAX_ROUNDS = 4;

export interface HostLegacy extends HostRuleStore {
  /** Whether there may be legacy rules at all; false also where they could not be looked at. */
  mayHold(): boolean;
}

export function createHostLegacy(deps: HostLegacyDeps, netnsFd: number): HostLegacy {
  /** Undefined: nothing was ever written, and nothing is wanted. */
  async function look(family: Family, desired: readonly Ruleset[], move: HostMove): Promise<Plan | undefined> {
    const ours = desired.filter((ruleset) => ruleset.family === family);
    const isEmpty = deps.legacyTables(netnsFd)[family].length === 0;
    if (isEmpty && ours.length === 0) return undefined;
    const held: HeldTables<LegacyRule> = isEmpty ? { family, tables: [] } : await save(family);
    const plan = planHostRules([held], ours, move);
    const steps = plan.steps.filter(isStep);
    return { ...plan, steps, sentences: steps.length === 0 && !plan.isBehind ? [] : plan.sentences };
  }

  async function save(family: Family): Promise<HeldTables<LegacyRule>> {
    // Of the other tables nothing can be ours, and of a node's filter table there may be much.
    const argv = [program(`${TOOL[family]}-save`), "-t", "nat"] as const;
    if (!deps.legacyTables(netnsFd)[family].includes("nat")) return { family, tables: [] };
    return parseLegacySave((await deps.exec({ argv: [...argv], netnsFd, timeoutMs: TIMEOUT_MS })).stdout, family);
  }

  async function restore(family: Family, input: string): Promise<void> {
    await deps.exec({
      argv: [program(`${TOOL[family]}-restore`), "--noflush", `--wait=${LOCK_WAIT_S}`],
      input,
      env: { XTABLES_LOCKFILE: deps.legacyLock() ?? "/proc/self/fd/3" },
      netnsFd,
      timeoutMs: TIMEOUT_MS,
    });
  }

  function program(name: string): string {
    const path = deps.findProgram(name);
    if (path !== undefined) return path;
    throw new NetfilterError("unsupported", `Cannot let probes of the node into pods: there is no program ${name}`);
  }

  async function convergeFamily(family: Family, desired: readonly Ruleset[], move: HostMove): Promise<HostFinding[]> {
    let first: Plan | undefined;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const plan = await look(family, desired, move);
      if (plan === undefined) return [];
      first ??= plan;
      if (plan.steps.length === 0) return [findingOf(first)];
      await restore(family, renderSteps(plan.steps, family));
    }
    const state = `they were still not as written after ${MAX_ROUNDS} attempts, somebody else changes them`;
    throw new NetfilterError("contended", `Cannot change the host's rules: ${state}`);
  }

  return {
    dialect: "iptables-legacy",
    mayHold() {
      const tables = deps.legacyTables(netnsFd);
      return FAMILIES.some(
        (family) => tables[family].includes("nat") && deps.findProgram(`${TOOL[family]}-save`) !== undefined,
      );
    },
    async find(desired) {
      const plans = await Promise.all(FAMILIES.map((family) => look(family, desired, { mayMove: true })));
      return joinFindings(plans.flatMap((plan) => (plan === undefined ? [] : [findingOf(plan)])));
    },
    async converge(desired, move) {
      const failures: unknown[] = [];
      const findings: HostFinding[] = [];
      for (const family of FAMILIES) {
        try {
          findings.push(...(await convergeFamily(family, desired, move)));
        } catch (error) {
          failures.push(error);
        }
      }
      throwAll(failures, "let probes of the node into pods");
      return joinFindings(findings);
    },
  };
}

type Plan = HostPlan<LegacyRule>;

/** Tables and base chains of iptables legacy are there as soon as anything is written, and stay. */
function isStep(step: HostStep<LegacyRule>): boolean {
  if (step.kind === "add-table" || step.kind === "delete-table" || step.kind === "wake-table") return false;
  return !(step.kind === "add-chain" && step.chain.kind === "base");
}

/** One block of table nat, so that the kernel takes all of it at once: what a jump leads to, then the jump. */
function renderSteps(steps: readonly HostStep<LegacyRule>[], family: Family): string {
  const insertions = steps.flatMap((step) =>
    step.kind === "insert-rule"
      ? [renderIptablesRule(step.chain, step.rule, family).replace(/^-A (\S+)/, "-I $1 1")]
      : [],
  );
  const plain = steps.filter((step): step is Change<LegacyRule> => step.kind !== "insert-rule");
  const text = renderLegacyRestore(plain, family);
  const block = text === "" ? "*nat\nCOMMIT\n" : text;
  return block.replace(/COMMIT\n$/, () => [...insertions, "COMMIT", ""].join("\n"));
}
