// How this node writes rules: one decision, made once at start from facts that were gathered without touching anything,
// and the same for every pod (D17: upstream decides per namespace, and its probe creates the table it then detects).
// Not here: gathering the facts (agent/netfilter/backend-facts.ts).

import { isIn } from "../rules/families.ts";
import { type PodCapture, podInetRules, podRules } from "../rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import {
  type BackendDialect,
  describeMissing,
  featuresOf,
  type MissingFeature,
  type NetlinkDialect,
} from "./backend-features.ts";

/** What this node can do. `legacy.kernel` is false also where the modules exist and nobody has loaded them. */
export type BackendFacts = {
  /** Whether nf_tables answers; if not, why, as a clause: "socket failed with EPROTONOSUPPORT". */
  readonly nfTables: { readonly answers: true } | { readonly answers: false; readonly why: string };
  /** What the kernel refused in a throwaway namespace; empty where nf_tables does not answer. */
  readonly missing: Readonly<Record<NetlinkDialect, readonly MissingFeature[]>>;
  readonly legacy: { readonly kernel: boolean; readonly missingPrograms: readonly string[] };
};

/** What the operator said: NATIVE_NFTABLES and FORCE_IPTABLES_BINARY. */
export type BackendSettings = {
  readonly nativeNftables: boolean;
  readonly forceIptables: "legacy" | "nft" | undefined;
};

/** Why this dialect: a closed set, for the metric and the status. */
export type BackendReason =
  | "native-nftables-set"
  | "forced-legacy"
  | "forced-nft"
  | "default"
  | "iptables-nft-incomplete"
  | "nf-tables-incomplete"
  | "nothing-complete";

/** The node's decision. `message` is one sentence for the log and the status. */
export type BackendDecision = {
  readonly dialect: BackendDialect;
  readonly reason: BackendReason;
  /** What a pod may ask for that this node cannot do with this dialect; such a pod is refused, others are not. */
  readonly missing: readonly MissingFeature[];
  readonly message: string;
  /** Whether nf_tables answers at all; if not, nobody can have left anything there. */
  readonly nfTables: boolean;
  /** The same for pods with `hostUsers: false`; undefined: not at all on this node. See `dialectForPod`. */
  readonly userNamespaces: PodDialect | undefined;
};

/** How a pod is written, and what cannot be. */
export type PodDialect = Pick<BackendDecision, "dialect" | "missing">;

/** A capture that did not stand in a namespace nobody uses, and of which families. */
export type TrialProblem = {
  readonly mode: PodCapture["mode"];
  readonly families: readonly (4 | 6)[];
  /** The first thing that went wrong, as a clause. */
  readonly why: string;
};

/**
 * Chooses the dialect. The operator's word is taken as it is; pods say what then does not work.
 *
 * @param usual how pods without annotations are captured on this node: what one of them needs and a dialect lacks makes
 * another dialect better. What the host of ambient pods needs is no part of it: it has a decision of its own
 * (host-probe-backend.ts).
 */
export function decideBackend(
  facts: BackendFacts,
  settings: BackendSettings,
  usual: readonly PodCapture[] = [DEFAULT_SIDECAR_CAPTURE],
): BackendDecision {
  const { dialect, reason, why } = choose(facts, settings, usual);
  const missing = dialect === "iptables-legacy" ? [] : facts.missing[dialect];
  const absent = absence(dialect, facts);
  const lacks = dialect === "iptables-legacy" ? [] : missing.map((feature) => describeMissing(feature, dialect));
  const notes = [
    ...(absent === undefined ? [] : [absent]),
    ...(lacks.length === 0 ? [] : [`missing on this node: ${lacks.join("; ")}`]),
  ];
  return {
    dialect,
    reason,
    missing,
    nfTables: facts.nfTables.answers,
    message: [`Writing rules as ${dialect}: ${why}`, ...notes].join("; "),
    userNamespaces: isComplete("nftables", facts, [DEFAULT_SIDECAR_CAPTURE])
      ? { dialect: "nftables", missing: facts.missing.nftables }
      : undefined,
  };
}

/**
 * The dialect for one pod. In a user namespace of its own the kernel takes xt_owner only from a task of that namespace
 * (net/netfilter/xt_owner.c, owner_check), which a process with threads cannot enter; native `meta skuid` has no such rule
 * and compares ids as the pod sees them. Ambient rules ask for no owner, so such a pod is written like any other. Undefined:
 * this node cannot capture such pods.
 */
export function dialectForPod(
  decision: BackendDecision,
  pod: { readonly hostUsers?: boolean },
  mode: PodCapture["mode"],
): PodDialect | undefined {
  return pod.hostUsers === false && mode !== "ambient" ? decision.userNamespaces : decision;
}

/** Why this capture cannot be written on this node, in words for the pod's events; undefined: it can. */
export function explainUnsupported({ dialect, missing }: PodDialect, capture: PodCapture): string | undefined {
  if (dialect === "iptables-legacy" || missing.length === 0) return undefined;
  const needed = featuresOf(dialect === "nftables" ? podInetRules(capture) : podRules(capture));
  const lacks = missing.filter((lack) =>
    needed.some(
      ({ feature, family }) => feature === lack.feature && family === lack.family && isIn(capture.families, family),
    ),
  );
  if (lacks.length === 0) return undefined;
  return `this node's kernel lacks ${lacks.map((lack) => describeMissing(lack, dialect)).join("; ")}`;
}

function choose(
  facts: BackendFacts,
  settings: BackendSettings,
  usual: readonly PodCapture[],
): { dialect: BackendDialect; reason: BackendReason; why: string } {
  if (settings.nativeNftables) {
    return { dialect: "nftables", reason: "native-nftables-set", why: "NATIVE_NFTABLES is true" };
  }
  if (settings.forceIptables === "legacy") {
    return { dialect: "iptables-legacy", reason: "forced-legacy", why: "FORCE_IPTABLES_BINARY is legacy" };
  }
  if (settings.forceIptables === "nft") {
    return { dialect: "iptables-nft", reason: "forced-nft", why: "FORCE_IPTABLES_BINARY is nft" };
  }
  if (isComplete("iptables-nft", facts, usual)) {
    return { dialect: "iptables-nft", reason: "default", why: "the kernel has all that the default capture needs" };
  }
  if (isComplete("nftables", facts, usual)) {
    const why = "the kernel has nf_tables, but not the xtables extensions iptables needs";
    return { dialect: "nftables", reason: "iptables-nft-incomplete", why };
  }
  if (facts.legacy.kernel && facts.legacy.missingPrograms.length === 0) {
    const why = "nf_tables of this kernel cannot capture, iptables legacy is there";
    return { dialect: "iptables-legacy", reason: "nf-tables-incomplete", why };
  }
  const partly = (["iptables-nft", "nftables"] as const).find((dialect) =>
    usual.some((capture) => isComplete(dialect, facts, [capture])),
  );
  if (partly !== undefined) {
    const why =
      "nothing on this node can capture every pod of the mesh, so those that need what is missing are refused";
    return { dialect: partly, reason: "nothing-complete", why };
  }
  const why = "nothing on this node can capture a pod, so every pod of the mesh is refused";
  return { dialect: "iptables-nft", reason: "nothing-complete", why };
}

/** Whether pods without any annotation can be captured. */
function isComplete(dialect: NetlinkDialect, facts: BackendFacts, usual: readonly PodCapture[]): boolean {
  if (!facts.nfTables.answers) return false;
  const missing = facts.missing[dialect];
  return usual.every((capture) => explainUnsupported({ dialect, missing }, capture) === undefined);
}

/** The decision with what a trial found; the dialect stays, pods that need what failed are refused one by one. */
export function withTrial(decision: BackendDecision, problems: readonly TrialProblem[]): BackendDecision {
  if (problems.length === 0) return decision;
  return { ...decision, message: [decision.message, ...problems.map(describeTrial)].join("; ") };
}

/** "a trial of ambient mode for IPv6 failed: Cannot …" */
export function describeTrial({ mode, families, why }: TrialProblem): string {
  const what = mode === "ambient" ? "ambient mode" : `sidecar mode with ${mode}`;
  return `a trial of ${what} for ${families.map((family) => `IPv${family}`).join(" and ")} failed: ${why}`;
}

/** What stands in the way of a dialect as a whole. */
function absence(dialect: BackendDialect, { nfTables, legacy }: BackendFacts): string | undefined {
  const programs = legacy.missingPrograms.join(", ");
  if (dialect !== "iptables-legacy") {
    if (!nfTables.answers) return `nf_tables does not answer: ${nfTables.why}`;
    return legacy.kernel && programs !== ""
      ? `what others left in iptables-legacy is not seen, programs not found: ${programs}`
      : undefined;
  }
  if (programs !== "") return `programs not found: ${programs}`;
  return legacy.kernel ? undefined : "the kernel has not loaded iptables legacy (ip_tables), the first pod will try to";
}
