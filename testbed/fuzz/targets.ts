/** All fuzz targets. Which reader has which is in docs/fuzzing.md, which a test holds against this table. */
import type { FuzzTarget } from "./fuzz-target.ts";
import { CNI_TARGETS } from "./targets/cni.ts";
import { CONFIG_TARGETS } from "./targets/config.ts";
import { DOCUMENT_TARGETS } from "./targets/documents.ts";
import { KUBE_TARGETS } from "./targets/kube.ts";
import { NETLINK_TARGETS } from "./targets/netlink.ts";
import { NFT_TARGETS } from "./targets/nft.ts";
import { PLUGIN_TARGETS } from "./targets/plugin.ts";
import { POLICY_TARGETS } from "./targets/policy.ts";
import { PROC_TARGETS } from "./targets/proc.ts";
import { SOCKET_TARGETS } from "./targets/sockets.ts";
import { WIRE_TARGETS } from "./targets/wire.ts";

/** Readers in TypeScript: anywhere. */
export const AGENT_TARGETS: readonly FuzzTarget[] = [
  ...CNI_TARGETS,
  ...KUBE_TARGETS,
  ...POLICY_TARGETS,
  ...NETLINK_TARGETS,
  ...NFT_TARGETS,
  ...WIRE_TARGETS,
  ...PROC_TARGETS,
  ...CONFIG_TARGETS,
  ...DOCUMENT_TARGETS,
];

export const ALL_TARGETS: readonly FuzzTarget[] = [...AGENT_TARGETS, ...SOCKET_TARGETS, ...PLUGIN_TARGETS];

export const TARGET_NAMES: readonly string[] = ALL_TARGETS.map(({ name }) => name);

/** @throws {RangeError} naming those there are. */
export function findTarget(name: string): FuzzTarget {
  const target = ALL_TARGETS.find((candidate) => candidate.name === name);
  if (target === undefined) throw new RangeError(`Cannot fuzz ${name}: known targets are ${TARGET_NAMES.join(", ")}`);
  return target;
}
