// What of the kernel a capture needs, by name: the rules a probe tries one by one, and which of them a given
// ruleset uses. A feature is one extension of netfilter; what every nf_tables has (addresses, ports, jumps) is none.

import { FAMILIES, LOOPBACK } from "../address.ts";
import type { Match, Ruleset, Verdict } from "../rules/model.ts";
import { type PlannedRule, resolveInetPlan, resolvePlan } from "../rules/planned-rule.ts";
import {
  connmark,
  ctstate,
  ctZone,
  destination,
  dports,
  gidOwner,
  mark,
  not,
  planRule,
  RETURN,
  redirect,
  SAVE_MARK,
  setMark,
  TCP,
  tproxy,
  uidOwner,
} from "../rules/rule-words.ts";
import { PASSTHROUGH_SOURCE_V4 } from "../rules/sidecar-numbers.ts";

/** How rules are written on this node. */
export type BackendDialect = "iptables-nft" | "nftables" | "iptables-legacy";
/** The dialects that go over netlink and can be probed. */
export type NetlinkDialect = Exclude<BackendDialect, "iptables-legacy">;

/** One extension of netfilter by the name people know it by. */
export type FeatureName = keyof typeof FEATURES;

/** A feature the kernel refused, and how: `errno` as in errno(3). */
export type MissingFeature = { readonly feature: FeatureName; readonly family: 4 | 6; readonly errno: number };

type Feature = {
  /** What is lost without it, for people. */
  readonly purpose: string;
  /** Kernel modules that bring it, for iptables over nf_tables and for native nftables. */
  readonly modules: { readonly "iptables-nft": string; readonly nftables: string };
  /** Kinds of matches and verdicts of the rules model that need it. */
  readonly kinds: readonly (Match["kind"] | Verdict["kind"])[];
  readonly probe: PlannedRule;
};

const probe = (table: string, chain: string, matches: readonly Match[], verdict: Verdict): PlannedRule =>
  planRule(table, chain, "", matches, verdict);

const FEATURES = {
  owner: {
    purpose: "telling the proxy's own traffic from the application's",
    modules: { "iptables-nft": "nft_compat, xt_owner", nftables: "nf_tables" },
    kinds: ["uid-owner", "gid-owner"],
    probe: probe("nat", "OUTPUT", [uidOwner(1337), gidOwner(1337)], RETURN),
  },
  redirect: {
    purpose: "sending connections to the proxy",
    modules: { "iptables-nft": "nft_compat, nft_chain_nat, xt_REDIRECT", nftables: "nft_chain_nat, nft_redir" },
    kinds: ["redirect"],
    probe: probe("nat", "OUTPUT", [TCP], redirect(15001)),
  },
  multiport: {
    purpose: "DNS capture",
    modules: { "iptables-nft": "nft_compat, xt_multiport", nftables: "nf_tables" },
    kinds: ["sports", "dports"],
    probe: probe("nat", "OUTPUT", [TCP, dports(53, 15008)], RETURN),
  },
  "conntrack state": {
    purpose: "interception mode TPROXY and dropping invalid packets",
    modules: { "iptables-nft": "nft_compat, xt_conntrack", nftables: "nft_ct" },
    kinds: ["ctstate"],
    probe: probe("mangle", "PREROUTING", [ctstate("RELATED", "ESTABLISHED")], RETURN),
  },
  tproxy: {
    purpose: "interception mode TPROXY",
    modules: { "iptables-nft": "nft_compat, xt_TPROXY", nftables: "nft_tproxy" },
    kinds: ["tproxy"],
    probe: probe("mangle", "PREROUTING", [TCP], tproxy(15006, 1337)),
  },
  mark: {
    purpose: "ambient mode and interception mode TPROXY",
    modules: { "iptables-nft": "nft_compat, xt_mark", nftables: "nf_tables" },
    kinds: ["mark", "set-xmark"],
    probe: probe("mangle", "OUTPUT", [mark(1337)], setMark(1338)),
  },
  connmark: {
    purpose: "ambient mode and interception mode TPROXY",
    modules: { "iptables-nft": "nft_compat, xt_connmark", nftables: "nft_ct" },
    kinds: ["connmark", "connmark-save", "connmark-restore", "connmark-set-xmark"],
    probe: probe("mangle", "PREROUTING", [connmark(1337)], SAVE_MARK),
  },
  "conntrack zone": {
    purpose: "DNS capture",
    modules: { "iptables-nft": "nft_compat, xt_CT", nftables: "nft_ct with CONFIG_NF_CONNTRACK_ZONES" },
    kinds: ["ct-zone"],
    probe: probe("raw", "OUTPUT", [], ctZone(1)),
  },
} as const satisfies Record<string, Feature>;

/** Every feature, in the order a report names them. */
export const FEATURE_NAMES = Object.keys(FEATURES) as readonly FeatureName[];

/** Kernel modules of every feature in either dialect, and of nf_tables itself: what probing them may load. */
export function modulesOfFeatures(): readonly string[] {
  const named = Object.values(FEATURES).flatMap(({ modules }) => Object.values(modules));
  const modules = named.flatMap((text) => text.replace(/ with .*$/, "").split(", "));
  return [...new Set(["nfnetlink", "nf_tables", ...modules])];
}

/** Rules that make the kernel say whether it has these features. They belong into a namespace nobody uses. */
export function featureProbe(dialect: NetlinkDialect, features: readonly FeatureName[], family: 4 | 6): Ruleset {
  const plan = features.map((feature): PlannedRule => {
    const { rule: probed, ...place } = FEATURES[feature].probe;
    // In native nftables a rule belongs to a family by the address it names, and TPROXY has to belong to one.
    const address = not(destination(family === 4 ? PASSTHROUGH_SOURCE_V4 : LOOPBACK[6]));
    return { ...place, family, rule: { ...probed, matches: [...probed.matches, address] } };
  });
  return dialect === "iptables-nft" ? resolvePlan(plan, family) : resolveInetPlan(plan);
}

/** The features that rulesets use, per family: derived from the rules themselves, so that none is forgotten. */
export function featuresOf(rulesets: readonly Ruleset[]): { feature: FeatureName; family: 4 | 6 }[] {
  return rulesets.flatMap((ruleset) => {
    const kinds = kindsIn(ruleset);
    const families = ruleset.family === "inet" ? FAMILIES : [ruleset.family];
    return FEATURE_NAMES.filter((name) => FEATURES[name].kinds.some((kind) => kinds.has(kind))).flatMap((feature) =>
      families.map((family) => ({ feature, family })),
    );
  });
}

/** "tproxy for IPv6 (needed for interception mode TPROXY; kernel modules nft_compat, xt_TPROXY; errno 2)" */
export function describeMissing({ feature, family, errno }: MissingFeature, dialect: NetlinkDialect): string {
  const { purpose, modules } = FEATURES[feature];
  return `${feature} for IPv${family} (needed for ${purpose}; kernel modules ${modules[dialect]}; errno ${errno})`;
}

function kindsIn(ruleset: Ruleset): ReadonlySet<string> {
  const rules = ruleset.tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules));
  return new Set(rules.flatMap(({ matches, verdict }) => [...matches.map(({ kind }) => kind), verdict.kind]));
}
