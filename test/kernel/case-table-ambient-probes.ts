// What is sent to, through and from every ambient pod of the case table, by whom and where to, and where it lands: written
// from contract 7.6 and 7.7 by hand. The stage and its places are those of the sidecar table (case-table-probes.ts).
import type { Landing, Place, Probe } from "./case-table-probes.ts";

/** What a pod may ask for, as far as it changes where packets land. */
export type Effect = "bypass" | "dns" | "reroute";

/** Of the effects a pod has, reroute decides before bypass and bypass before dns; `usually` where none of its effects counts. */
export type Landings = Landing | ({ readonly usually: Landing } & Readonly<Partial<Record<Effect, Landing>>>);

export type AmbientProbe = Omit<Probe, "lands"> & { readonly lands: Landings };

/** Where the applications of pod and peer listen; ztunnel's ports are ztunnel's. */
export const AMBIENT_APPLICATION_PORTS = {
  pod: ["53", "53/udp", "8080", "8081", "9000/udp"],
  peer: ["53", "53/udp", "9000", "9000/udp", "15001", "15008"],
} as const;

const ZTUNNEL = 1337;
/** With bits of somebody else above the mesh's twelve. */
const ZTUNNEL_AND_MORE = 0x7a_0539;

const captured = { usually: "15006", bypass: "direct" } as const;
const asGuest = { usually: "15006", bypass: "direct", reroute: "15001" } as const;

const BY_NAME = {
  // Into the pod: plain text to ztunnel, HBONE by itself, probes past it.
  "peer to pod 8080": into("peer", "pod", 8080, captured),
  "peer to pod 8081": into("peer", "pod", 8081, captured),
  "peer to pod by eth1": into("peer", "pod's eth1", 8080, captured),
  "peer to pod 15008": into("peer", "pod", 15008, "direct"),
  "peer to pod 15001": into("peer", "pod", 15001, captured),
  "peer to pod 53": into("peer", "pod", 53, captured),
  "peer to pod 9000 udp": { ...into("peer", "pod", 9000, "direct"), protocol: "udp" },
  "peer to pod 53 udp": { ...into("peer", "pod", 53, "direct"), protocol: "udp" },
  "probe to pod 8080": { ...into("peer", "pod", 8080, "direct"), source: "probe source" },
  "probe to pod by eth1": { ...into("peer", "pod's eth1", 8080, "direct"), source: "probe source" },
  // Through the pod.
  "guest to pod 8080": into("guest", "pod's vnet0", 8080, asGuest),
  "guest to elsewhere 9000": into("guest", "elsewhere", 9000, asGuest),
  "guest to elsewhere 53": into("guest", "elsewhere", 53, asGuest),
  "guest to elsewhere 15008": into("guest", "elsewhere", 15008, { usually: "direct", reroute: "15001" }),
  "guest to elsewhere 9000 udp": { ...into("guest", "elsewhere", 9000, "direct"), protocol: "udp" },
  "guest to elsewhere 53 udp": { ...into("guest", "elsewhere", 53, "direct"), protocol: "udp" },
  // Out of the pod: all TCP but ztunnel's own. Whose process it is does not count.
  "app to peer 9000": out("app", "peer", 9000, "15001"),
  "root to peer 9000": out("root", "peer", 9000, "15001"),
  "uid 1337 to peer 9000": out("uid 1337", "peer", 9000, "15001"),
  "app to peer 15008": out("app", "peer", 15008, "15001"),
  "app to peer by eth1": out("app", "peer's eth1", 9000, "15001"),
  "app to elsewhere 9000": out("app", "elsewhere", 9000, "15001"),
  "app to probe source 9000": out("app", "probe source", 9000, "direct"),
  "app to peer 9000 udp": { ...out("app", "peer", 9000, "direct"), protocol: "udp" },
  "ztunnel to peer 9000": { ...out("root", "peer", 9000, "direct"), mark: ZTUNNEL },
  "ztunnel to peer 15008": { ...out("root", "peer", 15008, "direct"), mark: ZTUNNEL },
  "ztunnel to elsewhere, more marks": { ...out("root", "elsewhere", 9000, "direct"), mark: ZTUNNEL_AND_MORE },
  // DNS: ztunnel asks from the port the application used, only the zones keep them apart.
  "app to peer 53": out("app", "peer", 53, { usually: "15001", dns: "15053" }),
  "ztunnel to peer 53": { ...out("root", "peer", 53, "direct"), mark: ZTUNNEL },
  "app to peer 53 udp": { ...out("app", "peer", 53, { usually: "direct", dns: "15053" }), protocol: "udp" },
  "ztunnel to peer 53 udp": {
    ...out("root", "peer", 53, "direct"),
    protocol: "udp",
    mark: ZTUNNEL,
    sameSourcePort: true,
  },
  "app to loopback 53": out("app", "loopback", 53, "direct"),
  "app to loopback 53 udp": { ...out("app", "loopback", 53, "direct"), protocol: "udp" },
  "app to loopback net 53": out("app", "loopback net", 53, { usually: "direct", dns: "15053" }),
  "app to loopback net 53 udp": { ...out("app", "loopback net", 53, "direct"), protocol: "udp" },
  "app to pod 53": out("app", "pod", 53, { usually: "direct", dns: "15053" }),
  "app to pod 53 udp": { ...out("app", "pod", 53, "direct"), protocol: "udp" },
  // On lo: applications talk to each other directly.
  "app to loopback 8080": out("app", "loopback", 8080, "direct"),
  "app to loopback net 8080": out("app", "loopback net", 8080, "direct"),
  "app to pod 8080": out("app", "pod", 8080, "direct"),
  "root to pod 8080": out("root", "pod", 8080, "direct"),
  // ztunnel to the application: under its client's address, whose answers only the mark brings back (7.7), and its own.
  "ztunnel from peer to pod 8080": { ...out("root", "pod", 8080, "direct"), source: "peer", mark: ZTUNNEL },
  "ztunnel from elsewhere to pod 8080": { ...out("root", "pod", 8080, "direct"), source: "elsewhere", mark: ZTUNNEL },
  "ztunnel from peer, more marks": {
    ...out("root", "pod", 8080, "direct"),
    source: "peer",
    mark: ZTUNNEL_AND_MORE,
  },
  "ztunnel to pod 8080": { ...out("root", "pod", 8080, "direct"), mark: ZTUNNEL },
  "ztunnel to loopback 8080": { ...out("root", "loopback", 8080, "direct"), mark: ZTUNNEL },
} as const satisfies Record<string, AmbientProbe>;

export type AmbientProbeName = keyof typeof BY_NAME;

/** In the order in which they are sent. */
export const AMBIENT_PROBES: ReadonlyMap<AmbientProbeName, AmbientProbe> = new Map(
  Object.entries(BY_NAME) as [AmbientProbeName, AmbientProbe][],
);

/** Where a probe lands in a pod that is in the mesh and has these effects. */
export function landingOf(lands: Landings, effects: readonly Effect[]): Landing {
  if (typeof lands === "string") return lands;
  const decisive = (["reroute", "bypass", "dns"] as const).find(
    (effect) => effects.includes(effect) && lands[effect] !== undefined,
  );
  return (decisive === undefined ? undefined : lands[decisive]) ?? lands.usually;
}

function into(from: "peer" | "guest", to: Place, port: number, lands: Landings): AmbientProbe {
  return { from, as: "root", to, port, protocol: "tcp", lands };
}

function out(as: AmbientProbe["as"], to: Place, port: number, lands: Landings): AmbientProbe {
  return { from: "pod", as, to, port, protocol: "tcp", lands };
}
