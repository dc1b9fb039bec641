// The pods of the case table: one for every parameter of contract 5.1, with what it changes against a pod that sets none.
// What is written here comes from contract/05; the code under test never made it.

import type { Family } from "../../src/core/address.ts";
import { CAPTURE_ANNOTATIONS } from "../../src/core/policy/sidecar-annotations.ts";
import type { SidecarPlan } from "../../src/core/policy/sidecar-decision.ts";
import { type PodWords, planOfPod } from "../../testbed/sidecar/pod-words.ts";
import type { Landing, Mode, ProbeName, User } from "./case-table-probes.ts";
import { PROBES } from "./case-table-probes.ts";

/** One landing for all, or what differs by mode or family. */
type Change = Landing | Partial<Record<Mode, Landing>> | Partial<Record<`${Mode} ${Family}`, Landing>>;

export interface Case {
  readonly name: string;
  readonly pod: PodWords;
  readonly changes: Readonly<Partial<Record<ProbeName, Change>>>;
  /** Why the parameters of this case change no landing, where none does. */
  readonly changesNothingBecause?: string;
  /** ISTIO_DUAL_STACK is set where there is one family, and not where there are two. */
  readonly turnsDualStackRound?: true;
}

/** Every parameter a pod, or the agent for all pods, can set: the keys of contract 5.1. A case has to exist for each. */
export const PARAMETERS: readonly string[] = [
  ...Object.values(CAPTURE_ANNOTATIONS),
  "status.sidecar.istio.io/port",
  "ISTIO_META_DNS_CAPTURE",
  "ISTIO_DUAL_STACK",
  "INVALID_DROP",
  "securityContext.runAsUser",
  "securityContext.runAsGroup",
  "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
  "ISTIO_OUTBOUND_OWNER_GROUPS",
  "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
];

const NAME = CAPTURE_ANNOTATIONS;
const RANGE = "10.78.0.0/16,fd78::/16";
const HOLE = "10.78.9.0/24,fd78:9::/32";

const LEAVING_FOR_PEER: readonly ProbeName[] = [
  "app to peer 9000",
  "root to peer 9000",
  "uid 2000 to peer 9000",
  "gid 3000 to peer 9000",
  "group 202 to peer 9000",
  "app to peer 443",
  "app to peer 3306",
  "app to peer 53",
  "app to peer by eth1",
  "app to elsewhere 9000",
];
const LEAVING: readonly ProbeName[] = [...LEAVING_FOR_PEER, "app to range 9000", "app to hole 9000"];
const FROM_GUEST: readonly ProbeName[] = [
  "guest to pod 8080",
  "guest to range 9000",
  "guest to hole 9000",
  "guest to elsewhere 9000",
];

/** 5.4 row 30: a guest's traffic is outbound. TPROXY looks at it first, in mangle, and rows 1-3 have no rule there. */
const GUESTS_OUTBOUND = all(FROM_GUEST, { REDIRECT: "15001" });

export const CASES: readonly Case[] = [
  { name: "defaults", pod: {}, changes: {}, changesNothingBecause: "it is what the others are compared with" },
  annotated("include outbound ranges", { [NAME.includeOutboundIpRanges]: RANGE }, all(LEAVING_FOR_PEER, "direct")),
  annotated("include no outbound range", { [NAME.includeOutboundIpRanges]: "" }, all(LEAVING, "direct")),
  annotated(
    "include the loopback range",
    { [NAME.includeOutboundIpRanges]: "127.0.0.0/8,10.78.0.0/16" },
    {
      ...all(LEAVING_FOR_PEER, "direct"),
      ...all(["app to range 9000", "app to hole 9000"], { "REDIRECT 6": "direct", "TPROXY 6": "direct" }),
      // Rows 17 and 20 are not written then, for either family; localhost itself stays exempted by row 27.
      ...all(["app to passthrough 8080", "app to loopback net 8080"], { "REDIRECT 4": "15001", "TPROXY 4": "15001" }),
      "gid 1337 to pod 8080": "15006",
    },
  ),
  annotated(
    "exclude outbound ranges",
    { [NAME.excludeOutboundIpRanges]: HOLE },
    {
      "app to hole 9000": "direct",
    },
  ),
  annotated(
    "include inbound ports",
    // 15020 is excluded by default, and captured here: a list makes the exclusions meaningless (row 12, contract 10.3).
    { [NAME.includeInboundPorts]: "8080, 15020", [NAME.excludeInboundPorts]: "8080" },
    {
      ...all(["peer to pod 8081", "peer to pod 9090"], "direct"),
      ...all(["guest to range 9000", "guest to hole 9000", "guest to elsewhere 9000"], "direct"),
      ...all(["peer to pod 15008", "uid 1337 to pod 15008"], "direct"),
      "peer to pod 15020": "15006",
    },
  ),
  annotated(
    "include no inbound port",
    { [NAME.includeInboundPorts]: "" },
    {
      ...all(["peer to pod 8080", "peer to pod 8081", "peer to pod 9090", "peer to pod by eth1"], "direct"),
      ...all([...FROM_GUEST, "peer to pod 15008", "uid 1337 to pod 15008", "gid 1337 to pod 8080"], "direct"),
    },
  ),
  annotated("exclude inbound ports", { [NAME.excludeInboundPorts]: "8081" }, { "peer to pod 8081": "direct" }),
  annotated(
    "include outbound ports",
    { [NAME.includeOutboundPorts]: "3306,443", [NAME.includeOutboundIpRanges]: "" },
    all(
      LEAVING.filter((name) => name !== "app to peer 3306" && name !== "app to peer 443"),
      "direct",
    ),
  ),
  annotated(
    "exclude outbound ports",
    { [NAME.excludeOutboundPorts]: "3306,443" },
    { "app to peer 3306": "direct", "app to peer 443": "direct", "app to peer 15020": "15001" },
  ),
  annotated(
    "exclude interfaces",
    { [NAME.excludeInterfaces]: "eth1" },
    { "peer to pod by eth1": "direct", "app to peer by eth1": "direct" },
  ),
  annotated("reroute virtual interfaces", { [NAME.rerouteVirtualInterfaces]: "vnet0" }, GUESTS_OUTBOUND),
  annotated("kubevirt interfaces", { [NAME.kubevirtInterfaces]: "vnet0" }, GUESTS_OUTBOUND),
  {
    ...annotated(
      "reroute wins over kubevirt",
      { [NAME.rerouteVirtualInterfaces]: "", [NAME.kubevirtInterfaces]: "vnet0" },
      {},
    ),
    changesNothingBecause: "the newer key is there, so the older one is not read",
  },
  annotated(
    "reroute virtual interfaces to ranges",
    {
      [NAME.rerouteVirtualInterfaces]: "vnet0",
      [NAME.includeOutboundIpRanges]: RANGE,
      [NAME.excludeOutboundIpRanges]: HOLE,
    },
    {
      ...all(LEAVING_FOR_PEER, "direct"),
      "app to hole 9000": "direct",
      // Row 31 knows no exclusions for guests, and row 3 keeps the rest from being inbound.
      ...all(["guest to range 9000", "guest to hole 9000"], { REDIRECT: "15001" }),
      ...all(["guest to pod 8080", "guest to elsewhere 9000"], { REDIRECT: "direct" }),
    },
  ),
  {
    name: "proxy's user",
    pod: { runAsUser: 2000 },
    changes: {
      ...all(["uid 1337 to peer 9000", "uid 1337 to peer 53"], "15001"),
      ...all(["uid 1337 to loopback net 8080", "uid 1337 to pod 8080", "uid 1337 to pod 53"], "direct"),
      ...all(["uid 1337 to pod 15008", "uid 1337 from loopback to passthrough 15002"], "direct"),
      "uid 2000 to peer 9000": "direct",
      "uid 2000 to pod 8080": "15006",
    },
  },
  {
    name: "proxy's group",
    pod: { runAsGroup: 3000 },
    changes: {
      "gid 1337 to peer 9000": "15001",
      "gid 1337 to pod 8080": "direct",
      "gid 3000 to peer 9000": "direct",
      "gid 3000 to pod 8080": { TPROXY: "15006" },
    },
  },
  {
    name: "proxy as root",
    pod: { runAsUser: 0, runAsGroup: 0 },
    changes: {},
    changesNothingBecause: "0 means 1337, as upstream reads it",
  },
  {
    name: "DNS",
    pod: { env: { ISTIO_META_DNS_CAPTURE: "true" } },
    changes: {
      ...all(["app to peer 53", "app to peer 53 udp", "app to loopback 53", "app to loopback 53 udp"], "15053"),
      // Row 16 spares port 53 then; the marks of TPROXY do not.
      "uid 1337 to pod 53": { REDIRECT: "direct", TPROXY: "15006" },
    },
  },
  {
    name: "drop invalid packets",
    pod: { env: { INVALID_DROP: "true" } },
    changes: { "peer to pod invalid": "dropped" },
  },
  {
    name: "dual stack turned round",
    pod: {},
    changes: {},
    turnsDualStackRound: true,
    changesNothingBecause: "it decides which families are captured, not where packets of a captured family land",
  },
  {
    name: "wide loopback",
    pod: { agentEnv: { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.0/8" } },
    changes: {
      "uid 1337 to loopback net 8080": "direct",
      "uid 1337 from loopback to passthrough 15002": { "REDIRECT 4": "direct", "TPROXY 4": "direct" },
    },
  },
  {
    name: "owner groups",
    pod: { agentEnv: { ISTIO_OUTBOUND_OWNER_GROUPS: "202" } },
    changes: all(
      LEAVING.filter((name) => name !== "group 202 to peer 9000"),
      "direct",
    ),
  },
  {
    name: "owner groups excluded",
    pod: { agentEnv: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "202,203" } },
    changes: { "group 202 to peer 9000": "direct" },
  },
  {
    ...annotated("status port", { "status.sidecar.istio.io/port": "8081" }, {}),
    changesNothingBecause: "injection adds it to excludeInboundPorts, the plugin does not apply it (5.1)",
  },
];

/** The parameters a case sets, by the names of PARAMETERS. */
export function parametersOf({ pod, turnsDualStackRound }: Case): string[] {
  return [
    ...Object.keys({ ...pod.annotations, ...pod.env, ...pod.agentEnv }),
    ...(pod.runAsUser === undefined ? [] : ["securityContext.runAsUser"]),
    ...(pod.runAsGroup === undefined ? [] : ["securityContext.runAsGroup"]),
    ...(turnsDualStackRound === undefined ? [] : ["ISTIO_DUAL_STACK"]),
  ];
}

/** Where a probe lands in a case: "direct" (or through) where its family is not captured. */
export function expectedLanding(
  testCase: Case,
  probeName: ProbeName,
  mode: Mode,
  family: Family,
  isCaptured: boolean,
): Landing {
  const probe = PROBES.get(probeName);
  if (probe === undefined) throw new TypeError(`Cannot find probe ${probeName}`);
  if (!isCaptured) return probe.protocol === "invalid" ? "reset" : "direct";
  const usual = typeof probe.lands === "string" ? probe.lands : probe.lands[mode];
  const change = testCase.changes[probeName];
  if (change === undefined || typeof change === "string") return change ?? usual;
  const byKey: Partial<Record<string, Landing>> = change;
  return byKey[`${mode} ${family}`] ?? byKey[mode] ?? usual;
}

/** The decision for the case's pod, made as the agent makes it. */
export function planOf(testCase: Case, mode: Mode, hasBothFamilies: boolean): SidecarPlan {
  const { annotations, env, ...rest } = testCase.pod;
  const isDualStack = hasBothFamilies !== (testCase.turnsDualStackRound === true);
  return planOfPod({
    ...rest,
    annotations: { ...(mode === "TPROXY" ? { [NAME.interceptionMode]: mode } : {}), ...annotations },
    env: { ...env, ...(isDualStack ? { ISTIO_DUAL_STACK: "true" } : {}) },
  });
}

/** Whom the stand-in for the proxy runs as: in TPROXY mode the injector makes it root, with the group that tells it. */
export function proxyUser(testCase: Case, mode: Mode): User {
  const id = (wanted: number | undefined): number => (wanted === undefined || wanted === 0 ? 1337 : wanted);
  const uid = mode === "TPROXY" ? 0 : id(testCase.pod.runAsUser);
  return { uid, gid: id(testCase.pod.runAsGroup) };
}

function annotated(name: string, annotations: PodWords["annotations"], changes: Case["changes"]): Case {
  return { name, pod: annotations === undefined ? {} : { annotations }, changes };
}

function all(names: readonly ProbeName[], change: Change): Case["changes"] {
  return Object.fromEntries(names.map((name) => [name, change]));
}
