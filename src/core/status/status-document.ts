/**
 * What the agent tells of its node and of each pod: the document behind `GET /status`, `install-cni status` and
 * `install-cni explain`, as JSON. The shapes here are its schema. Within one schema version keys are only added; a key is
 * always there, with null where there is nothing to tell. Times are RFC 3339 in UTC, by the agent's clock.
 */

import { SELF_TEST_RESULTS, SELF_TEST_VERDICTS } from "../policy/probe-self-test.ts";
import { OPTION_STATUS } from "./config-document.ts";
import { either, exactly, FLAG, listOf, NUMBER, object, oneOf, orNull, TEXT, type TypeOf } from "./shape.ts";

export const SCHEMA_VERSION = 1;

/** What was found when somebody last looked at a pod; the words are explained at VerificationState in agent/verify. */
export const POD_STATES = [
  "waiting",
  "out",
  "refused",
  "verified",
  "repaired",
  "uncaptured",
  "failed",
  "unverifiable",
] as const;

/** In ambient mode; explained at EnrolmentState in agent/ambient. */
export const ENROLMENT_STATES = ["enrolled", "enrolling", "leaving", "out", "waiting", "failed"] as const;

/** In, out, `refused`: it asks for the mesh in a way nobody can follow; `undecided`: nobody has looked yet. */
export const DECISIONS = ["in", "out", "refused", "undecided"] as const;

/** What a look at the kernel found while somebody waited. */
export const LIVE_STATES = ["as-wanted", "differs", "nothing-wanted", "unknown"] as const;

/** What is in, and what of it is not: `["*"]` stands for all, `[]` for none; `exclude` wins. */
const SELECTION = object({ include: listOf(TEXT), exclude: listOf(TEXT) });

const SIDECAR_CAPTURE = object({
  kind: exactly("sidecar"),
  /** How inbound connections reach the proxy. */
  mode: oneOf(["REDIRECT", "TPROXY"]),
  /** "ipv4", "ipv6". */
  families: listOf(TEXT),
  inboundPorts: SELECTION,
  /** `include` is captured whatever the destination. */
  outboundPorts: SELECTION,
  outboundRanges: SELECTION,
  /** Groups whose processes' outbound traffic is captured. */
  ownerGroups: SELECTION,
  excludeInterfaces: listOf(TEXT),
  /** Of virtual machines: what comes in there is outbound traffic of the pod. */
  virtualInterfaces: listOf(TEXT),
  proxyUids: listOf(NUMBER),
  proxyGids: listOf(NUMBER),
  dnsCapture: FLAG,
  dropInvalid: FLAG,
  /** IPv4 destinations that count as the pod itself. */
  loopbackRange: TEXT,
  /** A list was longer than what is shown of it. */
  isAbridged: FLAG,
});

const AMBIENT_CAPTURE = object({
  kind: exactly("ambient"),
  families: listOf(TEXT),
  captureInbound: FLAG,
  dnsCapture: FLAG,
  virtualInterfaces: listOf(TEXT),
  /** Where the kubelet's probes come from; they are not captured. */
  probeSources: listOf(TEXT),
  isAbridged: FLAG,
});

/** What is captured of a pod. */
export const CAPTURE = either(SIDECAR_CAPTURE, AMBIENT_CAPTURE);

const POD_FIELDS = {
  namespace: TEXT,
  name: TEXT,
  uid: TEXT,
  decision: oneOf(DECISIONS),
  /** The rule of policy that decided; a closed set of words. */
  reason: orNull(TEXT),
  /** The ADD of the pod's sandbox, or the annotations as an agent first saw them. */
  decidedBy: orNull(oneOf(["add", "annotations", "labels"])),
  state: oneOf(POD_STATES),
  /** A sentence where the state needs one. */
  message: orNull(TEXT),
  /** The state, or a family that passes by, is something a person should look at. */
  needsAttention: FLAG,
  capture: orNull(CAPTURE),
  /** Families with an address that pass by the proxy: "ipv6". */
  bypassed: listOf(TEXT),
  lastVerifiedAt: orNull(TEXT),
  /** What was different the last time anything was, one sentence each, and when. */
  lastDrift: listOf(TEXT),
  /** How many there were; more than `lastDrift` shows when it was cut. */
  lastDriftCount: NUMBER,
  lastDriftAt: orNull(TEXT),
  repairs: NUMBER,
  /** The kernel tells of changes; without that only the timer finds them. */
  isMonitored: FLAG,
  /** `source`: given at ADD, found by the pod's UID in cgroups, or found by its address. */
  netns: orNull(object({ inode: TEXT, source: oneOf(["add", "uid", "ip"]) })),
  /** The ADD that this agent answered for the pod's sandbox. */
  sandbox: orNull(object({ containerId: TEXT, tookMs: NUMBER })),
  /** It has left ambient mode: nothing new is redirected, and what ztunnel had open then is waited for. Null `connections`:
   * this kernel does not tell how many. */
  finishing: orNull(object({ connections: orNull(NUMBER), since: TEXT })),
  /** How far it has come in ambient mode; null: nobody has looked, or the node is not in that mode. */
  ambient: orNull(
    object({
      state: oneOf(ENROLMENT_STATES),
      since: TEXT,
      /** What is there: rules in its namespace, ztunnel's word, its addresses in the node's probe set, its annotation. */
      rules: oneOf(["stand", "broken", "finishing", "absent", "unknown"]),
      ztunnel: oneOf(["acknowledged", "sent", "refused", "absent"]),
      probes: oneOf(["listed", "partly", "absent"]),
      annotation: oneOf(["enabled", "pending", "none"]),
      /** What it waits for, and no step of ours would change. */
      waits: orNull(TEXT),
      /** The step that failed last and is tried again, and how. */
      failedStep: orNull(TEXT),
      message: orNull(TEXT),
    }),
  ),
} as const;

export const POD_STATUS = object(POD_FIELDS);

/** Pods by what is true of them; every pod is in exactly one. */
export type PodGroup = "outside" | "captured" | "uncaptured" | "unverified" | "waiting" | "refused";

export const STATUS_DOCUMENT = object({
  schemaVersion: exactly(SCHEMA_VERSION),
  /** When this was written. */
  at: TEXT,
  /** Ready, no pod needs attention, and there is no family whose probes reach no pod. */
  isAllGood: FLAG,
  agent: object({ version: TEXT, node: TEXT, mode: oneOf(["sidecar", "ambient"]), uptimeSeconds: NUMBER }),
  /** Every option, its effective value and where that comes from; docs/configuration.md. */
  options: listOf(OPTION_STATUS),
  isReady: FLAG,
  conditions: listOf(object({ name: TEXT, isReady: FLAG, reason: TEXT })),
  /** How this node writes rules; null before the first pod needed them. */
  backend: orNull(
    object({
      dialect: TEXT,
      reason: TEXT,
      message: TEXT,
      /** The option by which a person decided. */
      overriddenBy: orNull(TEXT),
      /** What a pod may ask for and this kernel does not have, in words. */
      missing: listOf(TEXT),
      /** For pods with a user namespace of their own; null: they cannot be captured here. */
      dialectInUserNamespaces: orNull(TEXT),
    }),
  ),
  install: object({
    state: TEXT,
    reason: TEXT,
    /** The file in which the runtime finds our plugin. */
    confName: orNull(TEXT),
    warnings: listOf(TEXT),
    /** How often another writer took our entry out and it was put back. */
    rewrites: NUMBER,
    /** Another writer keeps taking our entry out of `conf`, or that was left to it; `policy` is CNI_CONFLIST_FIGHT. */
    fight: orNull(object({ conf: TEXT, writer: TEXT, policy: TEXT, advice: TEXT })),
    /** Folders whose changes are not told by the kernel, with the reason. */
    unwatched: listOf(object({ folder: TEXT, reason: TEXT })),
  }),
  /** What is followed of the Kubernetes API. */
  watches: listOf(
    object({
      resource: TEXT,
      isSynced: FLAG,
      phase: TEXT,
      /** In a row; 0 when all is well. */
      failures: NUMBER,
      lastFailure: orNull(TEXT),
      objects: NUMBER,
      /** Since the API last sent anything, bookmarks included. */
      ageSeconds: orNull(NUMBER),
    }),
  ),
  netns: object({
    handles: NUMBER,
    /** Why pods that started without the plugin cannot be found. */
    unavailable: orNull(TEXT),
    lastScan: orNull(object({ tookMs: NUMBER, processes: NUMBER, namespaces: NUMBER })),
  }),
  /** Who serves enrolled pods; null outside ambient mode. */
  ztunnel: orNull(
    object({
      /** One has its snapshot: new pods can be enrolled. */
      isConnected: FLAG,
      /** Pods that ztunnel should serve. */
      workloads: NUMBER,
      connections: listOf(object({ pid: NUMBER, phase: TEXT, isPrimary: FLAG, workloads: NUMBER })),
    }),
  ),
  /** Whether probes of this node reach enrolled pods, as far as it was tried; nothing outside ambient mode. */
  probePaths: listOf(
    object({
      family: oneOf(["ipv4", "ipv6"]),
      verdict: oneOf(SELF_TEST_VERDICTS),
      /** From where probes have to come. */
      source: TEXT,
      /** Pods by what was found of them last. */
      results: listOf(object({ result: oneOf(SELF_TEST_RESULTS), pods: NUMBER })),
      /** What is wrong, and what can be done about it. */
      message: orNull(TEXT),
      /** Some pods for which it is wrong. */
      examples: listOf(TEXT),
      lastTriedAt: orNull(TEXT),
    }),
  ),
  summary: object({
    pods: NUMBER,
    outside: NUMBER,
    captured: NUMBER,
    uncaptured: NUMBER,
    unverified: NUMBER,
    waiting: NUMBER,
    refused: NUMBER,
    /** Pods with a family that passes by the proxy. */
    bypassed: NUMBER,
    needAttention: NUMBER,
  }),
  /** By namespace and name. Lists and sentences are cut; GET /pods/NAMESPACE/NAME has more. */
  pods: listOf(POD_STATUS),
  /** Pods beyond what one document tells of; the summary counts them. */
  omittedPods: NUMBER,
});

/** Rules of a pod, one by one. */
export const RULES = object({
  dialect: TEXT,
  /** In the order in which the kernel has them. */
  list: listOf(object({ family: TEXT, table: TEXT, chain: TEXT, rule: TEXT, intent: TEXT })),
  omitted: NUMBER,
});

/** One pod with what led to its decision and the rules it should have. */
export const POD_EXPLANATION = object({
  schemaVersion: exactly(SCHEMA_VERSION),
  at: TEXT,
  node: TEXT,
  pod: POD_STATUS,
  /** The reason as a sentence. */
  decisionInWords: orNull(TEXT),
  /** What the policy reads, in the order in which it decides; null: absent. */
  inputs: listOf(object({ name: TEXT, value: orNull(TEXT) })),
  /** What should be in the kernel; null where nothing is to be captured. */
  rules: orNull(RULES),
  /** What the kernel holds at this moment, against what it should. */
  live: object({
    /** `differs`: by `drift`. `nothing-wanted`: nothing is to be captured. `unknown`: it could not be looked at; see `message`. */
    state: oneOf(LIVE_STATES),
    drift: listOf(TEXT),
    /** More than `drift` shows when it was cut. */
    driftCount: NUMBER,
    /** Where nothing is wanted: whether rules stand there that bear a mesh's names, whoever wrote them. */
    holdsMeshRules: orNull(FLAG),
    message: orNull(TEXT),
    tookMs: NUMBER,
  }),
});

export type PodStatus = TypeOf<typeof POD_STATUS>;
export type CaptureStatus = TypeOf<typeof CAPTURE>;
export type StatusDocument = TypeOf<typeof STATUS_DOCUMENT>;
export type PodExplanation = TypeOf<typeof POD_EXPLANATION>;
