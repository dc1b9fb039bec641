// What every dialect can do with the rules of one namespace; what to do with it is decided in pod-backend.ts.
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import type { Change } from "../../core/rules/diff.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";

/** The rules of one dialect. `formerly` tells rules that may be ours although nothing in them says so. */
export interface RuleStore {
  readonly dialect: BackendDialect;
  /** Whether this node can look at such rules at all; if not, what others left of them stays unseen. */
  isAvailable(): boolean;
  /** The rules of a capture in this dialect. */
  rulesFor(capture: PodCapture): readonly Ruleset[];
  /** What the namespace holds in this dialect, rules of others included; nothing is changed by looking. */
  read(netnsFd: number): readonly Ruleset[] | Promise<readonly Ruleset[]>;
  /** The steps from what was read to `desired`; none exactly when `converge` would find nothing to do. */
  difference(held: readonly Ruleset[], desired: readonly Ruleset[], formerly: readonly Ruleset[]): readonly Change[];
  /** Makes our part of it `desired`, in as few steps as it takes; false: it was. Throws when it cannot. */
  converge(netnsFd: number, desired: readonly Ruleset[], formerly: readonly Ruleset[]): boolean | Promise<boolean>;
  /** No new connection is redirected by our rules, those that were stay so (core/policy/backend-drain.ts); false: so it was. */
  detach(netnsFd: number): boolean | Promise<boolean>;
}

/** Why a namespace could not be brought to what was wanted. */
export type NetfilterErrorCode = "unsupported" | "contended";

/** A capture this node cannot do, or a namespace in which somebody else writes without end. */
export class NetfilterError extends Error {
  readonly code: NetfilterErrorCode;
  constructor(code: NetfilterErrorCode, message: string) {
    super(message);
    this.name = "NetfilterError";
    this.code = code;
  }
}
