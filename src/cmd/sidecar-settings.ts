// What the operator set for all sidecar pods of the node, as the policy reads it.

import type { AgentConfig } from "../core/config/agent-config.ts";
import { ConfigError } from "../core/config/config-error.ts";
import type { SidecarSettings } from "../core/policy/sidecar-decision.ts";
import { quoteText } from "../core/short-text.ts";

const GROUP_ID = /^[0-9]{1,10}$/;

/** @throws {ConfigError} for a group given by name: names belong to an image's /etc/group, the kernel knows numbers. */
export function sidecarSettings({ policy, api, sidecar }: AgentConfig): SidecarSettings {
  const { outboundOwnerGroups, outboundOwnerGroupsExclude } = sidecar;
  return {
    excludedNamespaces: policy.excludeNamespaces,
    agentNamespace: api.podNamespace ?? "",
    ownerGroups: {
      include: outboundOwnerGroups === "*" ? "*" : groupIds("ISTIO_OUTBOUND_OWNER_GROUPS", outboundOwnerGroups),
      exclude: groupIds("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", outboundOwnerGroupsExclude),
    },
    loopbackCidrV4: sidecar.outboundIpv4LoopbackCidr,
  };
}

function groupIds(option: string, groups: readonly string[]): number[] {
  return groups.map((group) => {
    const id = GROUP_ID.test(group) ? Number(group) : Number.NaN;
    if (id <= 0xffffffff) return id;
    const accepted = "group ids from 0 to 4294967295 separated by commas";
    throw new ConfigError([
      {
        code: "malformed-value",
        option,
        value: group,
        accepted,
        message: `Cannot use ${option}: ${quoteText(group)} is no group id; accepted: ${accepted}`,
      },
    ]);
  });
}
