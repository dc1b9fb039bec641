// What a soak does, as a function of its seed: the nth pod, the nth fault of a lane. Pure; how long things really take changes when
// they happen, never what.
import { createRandom, type Random } from "./random.ts";

/** `captured`: its connections belong to a proxy; `free`: to nobody but itself; `either`: the dialect of the rules decides; `none`:
 * it has no network of its own. */
export type Expectation = "captured" | "free" | "either" | "none";

/** One pod from its birth to its end. */
export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  readonly kind: "plain" | "sidecar" | "ambient" | "host-network";
  readonly expectation: Expectation;
  /** For sidecars. */
  readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
  readonly isNative: boolean;
  /** Its proxy says that it takes IPv6, too; without that word the other family of a sidecar's pod is captured by the native dialect
   * only (ADR 1). */
  readonly isDualStack: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** How long after the sandbox its proxy listens. */
  readonly proxyAfterMs: number;
  /** The first try to start it is given up after so long; undefined: it is waited for. */
  readonly givenUpAfterMs: number | undefined;
  /** How long it stays when all its connections go where they should. */
  readonly livesMs: number;
  /** It is marked as being deleted so long before its sandbox goes; 0: not at all. */
  readonly terminatesForMs: number;
}

/** What is around the agent; and what is its own or lies where it writes. One fault of each lane at a time. */
export type Lane = "around" | "ours";

export const FAULTS = {
  around: [
    "api-away",
    "api-frozen",
    "api-errors",
    "api-slow",
    "api-watches-end",
    "api-silent-watch",
    "ztunnel-killed",
    "ztunnel-stalled",
    "ztunnel-replaced",
    "containerd-restarted",
  ],
  ours: [
    "agent-killed",
    "agent-replaced",
    "agent-stalled",
    "conflist-rewritten",
    "conflist-renamed-over",
    "conflist-deleted",
    "conflist-in-halves",
    "conflist-before-ours",
    "plugin-removed",
    "plugin-spoiled",
    "pod-rules-flushed",
    "host-probes-flushed",
  ],
} as const;

export type FaultKind = (typeof FAULTS)[Lane][number];

/** These end the agent: they are left out while its memory is watched. */
export const ENDS_AGENT: readonly FaultKind[] = ["agent-killed", "agent-replaced"];

export interface FaultPlan {
  readonly kind: FaultKind;
  /** Quiet time before it. */
  readonly afterMs: number;
  readonly lastsMs: number;
  /** For what the fault itself has to choose. */
  readonly random: Random;
}

/** Namespaces: `mesh` has the label of ambient mode, pods of `labelled` have it themselves, `shop` has none. */
export const AMBIENT_LABEL = { "istio.io/dataplane-mode": "ambient" } as const;

/** Each leaves port 8080 and the addresses of the testbed captured. */
const SIDECAR_ANNOTATIONS: readonly Readonly<Record<string, string>>[] = [
  {},
  { "traffic.sidecar.istio.io/excludeOutboundPorts": "443,5432" },
  { "traffic.sidecar.istio.io/includeInboundPorts": "8080,9090" },
  { "traffic.sidecar.istio.io/excludeInboundPorts": "15020,9999" },
  { "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8,fd00::/8" },
];

/** What is expected of the connections of one family. */
export function expectationOf({ kind, expectation, isDualStack }: PodPlan, family: 4 | 6): Expectation {
  return kind === "sidecar" && expectation === "captured" && family === 6 && !isDualStack ? "either" : expectation;
}

const MODES = ["REDIRECT", "REDIRECT", "TPROXY", "NONE"] as const;

export function planPod(seed: number, index: number): PodPlan {
  const random = createRandom(seed, "pod", index);
  const share = random.next();
  const kind = share < 0.4 ? "sidecar" : share < 0.78 ? "ambient" : share < 0.97 ? "plain" : "host-network";
  const interceptionMode = kind === "sidecar" ? random.pick(MODES) : "REDIRECT";
  const isByItself = kind === "ambient" && random.chance(0.5);
  // A sidecar is a sidecar in a namespace of ambient mode too; without redirection it stays where ambient mode is not.
  const namespace =
    kind === "ambient"
      ? isByItself
        ? "labelled"
        : "mesh"
      : kind === "sidecar" && interceptionMode !== "NONE" && random.chance(0.3)
        ? "mesh"
        : "shop";
  const isCaptured = (kind === "sidecar" && interceptionMode !== "NONE") || kind === "ambient";
  return {
    name: `${kind}-${index}`,
    namespace,
    kind,
    expectation: kind === "host-network" ? "none" : isCaptured ? "captured" : "free",
    interceptionMode,
    isNative: random.chance(0.5),
    isDualStack: random.chance(0.6),
    labels: isByItself ? AMBIENT_LABEL : {},
    annotations: kind === "sidecar" ? random.pick(SIDECAR_ANNOTATIONS) : {},
    proxyAfterMs: random.between(0, 300),
    givenUpAfterMs: random.chance(0.05) ? random.between(20, 400) : undefined,
    livesMs: random.between(500, 12_000),
    terminatesForMs: random.chance(0.3) ? random.between(100, 1500) : 0,
  };
}

/** `without`: kinds that do not come. */
export function planFault(seed: number, lane: Lane, index: number, without: readonly FaultKind[] = []): FaultPlan {
  const random = createRandom(seed, lane, index);
  const kinds: readonly FaultKind[] = FAULTS[lane];
  const kind = random.pick(kinds.filter((candidate) => !without.includes(candidate)));
  // Most are short; some outlast what the plugin waits for the agent, 15 s.
  const isLong = random.chance(0.12);
  return {
    kind,
    afterMs: random.between(500, 6000),
    lastsMs: isLong ? random.between(14_000, 20_000) : random.between(50, 5000),
    random,
  };
}
