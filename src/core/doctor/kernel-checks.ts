// Whether this kernel can capture pods, and how their rules would be written.

import { type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import { parseRelease } from "./proc-texts.ts";

/** NAT in tables of family inet: kernel 5.2 (net/netfilter/nft_chain_nat.c); what is older was never tried here. */
const OLDEST: readonly [number, number] = [5, 2];

export const KERNEL_CHECKS: readonly CheckRow[] = [
  {
    id: "kernel.version",
    meaning: "Native nftables rules need what Linux has since 5.2; iptables rules may work on an older kernel.",
    complaints: ["#55636"],
    decide({ kernel }) {
      if ("unknown" in kernel.release)
        return unknown(`the kernel does not tell its version: ${kernel.release.unknown}`);
      const release = kernel.release.value;
      const version = parseRelease(release);
      if (version === undefined) return unknown(`the kernel calls itself ${release}, which is no version`);
      const isOld = version[0] < OLDEST[0] || (version[0] === OLDEST[0] && version[1] < OLDEST[1]);
      return isOld
        ? warn(
            `Linux ${release} is older than ${OLDEST.join(".")}`,
            "See kernel.rules; update the node's kernel if that fails",
          )
        : ok(`Linux ${release}`);
    },
  },
  {
    id: "kernel.rules",
    meaning: "Pods are captured by netfilter rules in their namespaces; what this kernel lacks, no rule can do.",
    complaints: ["#57827", "#61020", "#58507", "#55636", "#54810", "#37701", "#57978", "#47821"],
    decide({ kernel: { rules } }) {
      if ("unknown" in rules) {
        return unknown(
          `it was not tried: ${rules.unknown}`,
          "Start the agent, which tries; or run this as root of the node, with --load-modules where modules are named",
        );
      }
      const { isIncomplete, message, missing, toldBy } = rules.value;
      const finding = `${message} (${toldBy === "agent" ? "as the agent found" : "tried in a namespace nobody uses"})`;
      const modules = "Load the kernel modules that are named, or use an image of the node that has them";
      if (isIncomplete) return fail(finding, modules);
      return missing.length > 0 ? warn(finding, `${modules}; pods that need them are refused until then`) : ok(finding);
    },
  },
  {
    id: "kernel.user-namespaces",
    meaning:
      "Pods with hostUsers: false need native nftables in a sidecar mesh, because the kernel refuses them xt_owner.",
    complaints: [],
    decide({ kernel: { rules } }) {
      if ("unknown" in rules) return unknown("see kernel.rules");
      return rules.value.hasUserNamespaces
        ? ok("pods with a user namespace of their own can be captured")
        : warn(
            "pods with a user namespace of their own (hostUsers: false) cannot be captured on this node",
            "Keep such pods off this node, or load the modules of native nftables: nf_tables, nft_chain_nat, nft_redir",
          );
    },
  },
  {
    id: "kernel.ipv6",
    meaning: "An address family the kernel does not have needs no rules, and none are written for it.",
    complaints: ["#60080", "#57869", "#46625"],
    decide({ kernel, settings: { ambient } }) {
      if (!kernel.hasIpv6) return notApplicable("this kernel has no IPv6");
      if (ambient.enabled && !ambient.ipv6) {
        return warn(
          "the kernel has IPv6 and AMBIENT_IPV6 is false: IPv6 traffic of ambient pods passes by ztunnel",
          "Set AMBIENT_IPV6=true (the chart's ambient.ipv6), unless no pod has an IPv6 address",
        );
      }
      return ok("the kernel has IPv6; the families that a pod has are captured");
    },
  },
  {
    id: "kernel.host-probes",
    meaning:
      "In ambient mode a rule of the node lets the kubelet's probes into pods; it needs ipset or native nftables.",
    complaints: ["#55636", "#54810", "#51030", "#49829"],
    decide({ kernel: { hostProbes } }) {
      if (hostProbes === undefined) return notApplicable("only ambient mode lets probes in by rules of the node");
      if ("unknown" in hostProbes) return unknown(`it was not tried: ${hostProbes.unknown}`);
      return hostProbes.value === undefined
        ? ok("the rule and the set for probes stand in a namespace nobody uses")
        : fail(
            hostProbes.value,
            "Load the modules ip_set, ip_set_hash_ip, xt_set and xt_nat, or those of native nftables",
          );
    },
  },
];
