// The ipsets that the host's rules of iptables look into: made before the rules, replaced where one of our name does not serve,
// gone when no rule of ours needs them. What is in them is looked after by host-probes.ts.
import { FAMILIES, type Family } from "../../core/address.ts";
import { PROBE_SETS } from "../../core/rules/ambient-numbers.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import type { HostIpsets, IpsetState } from "./host-ipsets.ts";
import type { HostFinding, HostRuleStore } from "./host-rule-store.ts";
import { NetfilterError } from "./rule-store.ts";

export interface IpsetUpkeepDeps {
  readonly ipsets: HostIpsets;
  /** Families whose set is looked into; none in the native dialect. */
  readonly used: readonly Family[];
  /** The dialect of this node. */
  readonly store: HostRuleStore;
  /** Other dialects whose rules may look into our sets. */
  others(): readonly HostRuleStore[];
}

/** What became of the sets; `before`: how the rules were found, where they had to go for it; `without`: families that have
 * no set that serves. */
export interface MadeIpsets {
  readonly sentences: readonly string[];
  readonly before: HostFinding | undefined;
  readonly without: readonly Family[];
}
export const NOTHING_MADE: MadeIpsets = { sentences: [], before: undefined, without: [] };

export function createIpsetUpkeep({ ipsets, used, store, others }: IpsetUpkeepDeps) {
  const states = () => used.map((family) => ({ family, state: ipsets.state(family) }));
  const unused = (): Family[] =>
    FAMILIES.filter((family) => !used.includes(family) && ipsets.state(family) !== "absent");

  return {
    /**
     * Makes the sets that `desired` looks into. One of our name that does not serve is replaced, and our rules that look into it
     * go for that moment; where rules of others do, it stays, and the family has to do without: that is put into `failures`.
     * @throws {KernelRefusalError} and what the stores throw
     */
    async make(desired: readonly Ruleset[], failures: unknown[]): Promise<MadeIpsets> {
      const found = states();
      const unserving = found.filter(({ state }) => typeof state === "object").map(({ family }) => family);
      const before = unserving.length === 0 ? undefined : await store.find(desired);
      for (const { family, state } of found) if (state === "absent") ipsets.create(family);
      if (before !== undefined) {
        const serving = desired.filter(({ family }) => family === "inet" || !unserving.includes(family));
        await store.converge(serving, { mayMove: false });
        for (const other of others()) await other.converge([], { mayMove: false });
      }
      const without = unserving.filter((family) => {
        if (!ipsets.destroy(family)) return true;
        ipsets.create(family);
        return false;
      });
      for (const { family, state } of found) {
        if (!without.includes(family)) continue;
        const why = `${describe(family, state)}, and rules of others look into it`;
        failures.push(new NetfilterError("unsupported", `Cannot let probes of the node into pods: ${why}`));
      }
      return { sentences: found.flatMap(({ family, state }) => describe(family, state) ?? []), before, without };
    },

    /** What `make` would put right, one sentence each. Changes nothing. */
    missing: (): string[] => states().flatMap(({ family, state }) => describe(family, state) ?? []),

    /** Sets that no rule of ours needs any more, one sentence each. */
    leftOver: (): string[] => unused().map((family) => `ipset ${PROBE_SETS[family]} is left over`),

    /** Destroys those: upstream's agents take an ipset for the sign of another backend (contract 7.10). Returns one sentence
     * for each that has to stay. */
    dropUnused: (): string[] =>
      unused()
        .filter((family) => !ipsets.destroy(family))
        .map((family) => `ipset ${PROBE_SETS[family]} is left over and stays: rules of others look into it`),
  };
}

function describe(family: Family, state: IpsetState): string | undefined {
  if (state === "usable") return undefined;
  return `ipset ${PROBE_SETS[family]} ${state === "absent" ? "is missing" : `does not serve (${state.unusable})`}`;
}
