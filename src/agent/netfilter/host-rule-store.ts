// What every dialect can do with the host's own rules; what stands beside them in other dialects, and what is in the sets,
// is looked after by host-probes.ts.
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import type { HostPlan } from "../../core/rules/ambient-host-plan.ts";
import type { Ruleset } from "../../core/rules/model.ts";

/** What a look found, or what was found before it was put right. */
export type HostFinding = Pick<HostPlan, "sentences" | "isBehind" | "wasThere"> & {
  /** Whether there was anything to do. */
  readonly isChange: boolean;
};

export interface HostMove {
  /** A jump that stands behind rules of others is put first again. */
  readonly mayMove: boolean;
}

export interface HostRuleStore {
  readonly dialect: BackendDialect;
  /** Looks; nothing is changed. `desired` empty: what there is of ours is too much. */
  find(desired: readonly Ruleset[]): HostFinding | Promise<HostFinding>;
  /** Brings our part to `desired`, in as few steps as it takes, a family that fails not in the way of the other one.
   * @throws {NetfilterError} where others stand in the way; {KernelRefusalError}, {ExecError}, or AggregateError of them. */
  converge(desired: readonly Ruleset[], move: HostMove): HostFinding | Promise<HostFinding>;
}

/** The findings of two families in one. */
export function joinFindings(findings: readonly HostFinding[]): HostFinding {
  return {
    sentences: findings.flatMap(({ sentences }) => sentences),
    isBehind: findings.some(({ isBehind }) => isBehind),
    wasThere: findings.some(({ wasThere }) => wasThere),
    isChange: findings.some(({ isChange }) => isChange),
  };
}

/** What a plan amounts to. */
export function findingOf({ steps, sentences, isBehind, wasThere }: HostPlan): HostFinding {
  return { sentences, isBehind, wasThere, isChange: steps.length > 0 };
}
