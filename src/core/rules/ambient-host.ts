// The rule of the node that lets the kubelet's probes into enrolled pods (contract 7.8): what a process of the node sends
// to a pod of the probe set leaves with the probe source, and by that source the pod's rules let it pass ztunnel.
//
// Who is let pass is upstream's choice and is kept, because the source is all a pod can tell a probe by: with iptables every
// process of the node that owns a socket, in native nftables every process of the kubelet's user, which is root nearly
// everywhere. Nothing narrower holds everywhere: the kubelet is called differently here and there and may be part of another
// process, its cgroup differs between distributions, and a match on a cgroup is refused where that does not exist; whoever is
// root on the node can enter the pod's namespace anyway. Traffic that the node only forwards is never let pass.
//
// Not here: the sets' making and elements, and the numbers iptables knows them by.

import type { Family, IpAddress } from "../address.ts";
import { AMBIENT_CHAIN, PROBE_SETS, probeSourceOf } from "./ambient-numbers.ts";
import { type Families, familiesOf } from "./families.ts";
import type { Match, Ruleset } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import { resolveInetPlan, resolvePlan } from "./planned-rule.ts";
import { destinationIn, jump, rule, SOCKET_EXISTS, snat, TCP, uidOwner } from "./rule-words.ts";

/** What the node's rules depend on. */
export type AmbientHost = {
  readonly families: Families;
  /** `HOST_PROBE_SNAT_IP` and `HOST_PROBE_SNAT_IPV6`. */
  readonly probeSource: { readonly v4: IpAddress; readonly v6: IpAddress };
};

const INTENT = "Probes of the node reach enrolled pods from an address that their rules let pass";

/**
 * In the iptables dialect: one ruleset for each family. The set of the family (PROBE_SETS) has to exist when they are
 * written. Equiv: iptables -t nat -I POSTROUTING 1 -j ISTIO_POSTRT
 */
export function ambientHostRules(host: AmbientHost): Ruleset[] {
  const jumpFirst = {
    ...rule(
      "Before the node's masquerading, which would give probes another source",
      [],
      jump(AMBIENT_CHAIN.postrouting),
    ),
    isFirst: true,
  } as const;
  return familiesOf(host).map((family) =>
    resolvePlan(
      [
        { table: "nat", chain: "POSTROUTING", rule: jumpFirst },
        { table: "nat", chain: AMBIENT_CHAIN.postrouting, rule: probeRule(host, family, SOCKET_EXISTS) },
      ],
      family,
    ),
  );
}

/**
 * In native nftables: one ruleset for all families, none where there is none. The sets (PROBE_SETS) belong to its one table
 * and have to exist when it is written. `kubeletUid`: the real user id of the kubelet.
 */
export function ambientHostInetRules(host: AmbientHost, kubeletUid: number): Ruleset[] {
  const plan = familiesOf(host).map(
    (family): PlannedRule => ({
      table: "nat",
      chain: "POSTROUTING",
      rule: probeRule(host, family, uidOwner(kubeletUid)),
    }),
  );
  return plan.length === 0 ? [] : [resolveInetPlan(plan, "istio-ambient")];
}

function probeRule({ probeSource }: AmbientHost, family: Family, sender: Match) {
  const { bytes } = probeSourceOf(probeSource, family);
  return rule(INTENT, [TCP, sender, destinationIn(PROBE_SETS[family], family)], snat({ family, bytes }));
}
