// What is sent in every case of the case table, by whom and where to, and where it lands when no annotation says otherwise:
// written from contract/05, by hand, so that rules, tracer and kernel are all measured against the same words.
//
//   guest ── vnet0 [pod] eth0, eth1 ── peer      peer also holds an address in a range, in a hole of it, and elsewhere

import type { Family } from "../../src/core/address.ts";

/** The default landings of each mode of interception, or one for both. */
export type Landings = Landing | { readonly REDIRECT: Landing; readonly TPROXY: Landing };

/** Who answers: the application that was asked, the proxy on one of its ports; of an invalid packet whether it got through. */
export type Landing = "direct" | "15001" | "15006" | "15053" | "reset" | "dropped";

export type Mode = "REDIRECT" | "TPROXY";

/** User and group of the sender. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Addresses by name. `passthrough` of IPv6 is put on `lo` by the capture; one family may not know a place. */
export const PLACES = {
  pod: { 4: "10.77.0.2", 6: "fd77::2" },
  "pod's eth1": { 4: "10.77.1.2", 6: "fd77:0:0:1::2" },
  "pod's vnet0": { 4: "10.77.2.2", 6: "fd77:0:0:2::2" },
  peer: { 4: "10.77.0.1", 6: "fd77::1" },
  "peer's eth1": { 4: "10.77.1.1", 6: "fd77:0:0:1::1" },
  guest: { 4: "10.77.2.1", 6: "fd77:0:0:2::1" },
  range: { 4: "10.78.0.1", 6: "fd78::1" },
  hole: { 4: "10.78.9.1", 6: "fd78:9::1" },
  elsewhere: { 4: "203.0.113.1", 6: "2001:db8::1" },
  "probe source": { 4: "169.254.7.127", 6: "fd16:9254:7127:1337:ffff:ffff:ffff:ffff" },
  loopback: { 4: "127.0.0.1", 6: "::1" },
  passthrough: { 4: "127.0.0.6", 6: "::6" },
  "loopback net": { 4: "127.8.8.8", 6: undefined },
} as const satisfies Record<string, Record<Family, string | undefined>>;

export type Place = keyof typeof PLACES;

/** The places that are on `lo` of the pod whatever addresses it has. */
export const LOOPBACK_PLACES: readonly Place[] = ["loopback", "passthrough", "loopback net"];

export const USERS = {
  root: { uid: 0, gid: 0 },
  app: { uid: 1000, gid: 1000 },
  "uid 1337": { uid: 1337, gid: 1000 },
  "gid 1337": { uid: 1000, gid: 1337 },
  "uid 2000": { uid: 2000, gid: 1000 },
  "gid 3000": { uid: 1000, gid: 3000 },
  "group 202": { uid: 1000, gid: 202 },
} as const satisfies Record<string, User>;

export interface Probe {
  readonly from: "pod" | "peer" | "guest";
  /** "proxy": root in the proxy's group, as the injector runs it in TPROXY mode. */
  readonly as: keyof typeof USERS | "proxy";
  readonly to: Place;
  readonly port: number;
  readonly protocol: "tcp" | "udp" | "invalid";
  readonly source?: Place;
  readonly mark?: number;
  /** Asks from the source port of the probe before this one. */
  readonly sameSourcePort?: true;
  readonly lands: Landings;
}

/** Where the applications of pod and peer listen. */
export const APPLICATION_PORTS = {
  pod: ["53", "53/udp", "8080", "8081", "9090", "15002", "15008", "15020", "15021", "15090"],
  peer: ["53", "53/udp", "443", "3306", "9000", "9000/udp", "15020"],
} as const;

/** A port of the pod on which nobody listens. */
const CLOSED_PORT = 7777;

const ofTproxy = (landing: Landing): Landings => ({ REDIRECT: "direct", TPROXY: landing });

const BY_NAME = {
  // Into the pod: everything but the proxy's own ports (5.4 rows 5, 9-11). The tunnel's port is spared in nat only.
  "peer to pod 8080": into("peer", "pod", 8080, "15006"),
  "peer to pod 8081": into("peer", "pod", 8081, "15006"),
  "peer to pod 9090": into("peer", "pod", 9090, "15006"),
  "peer to pod 15008": into("peer", "pod", 15008, ofTproxy("15006")),
  "peer to pod 15020": into("peer", "pod", 15020, "direct"),
  "peer to pod 15021": into("peer", "pod", 15021, "direct"),
  "peer to pod 15090": into("peer", "pod", 15090, "direct"),
  "peer to pod 53 udp": { ...into("peer", "pod", 53, "direct"), protocol: "udp" },
  "peer to pod by eth1": into("peer", "pod's eth1", 8080, "15006"),
  "peer to pod invalid": { ...into("peer", "pod", CLOSED_PORT, "reset"), protocol: "invalid", source: "peer" },
  // Through the pod: TCP of a guest is taken for inbound unless its interface is rerouted.
  "guest to pod 8080": into("guest", "pod's vnet0", 8080, "15006"),
  "guest to range 9000": into("guest", "range", 9000, "15006"),
  "guest to hole 9000": into("guest", "hole", 9000, "15006"),
  "guest to elsewhere 9000": into("guest", "elsewhere", 9000, "15006"),
  "guest to elsewhere 9000 udp": { ...into("guest", "elsewhere", 9000, "direct"), protocol: "udp" },
  "guest to elsewhere 53 udp": { ...into("guest", "elsewhere", 53, "direct"), protocol: "udp" },
  // Out of the pod: all TCP but the proxy's (rows 18, 21) and what is excluded (row 14; the default is 15020).
  "app to peer 9000": out("app", "peer", 9000, "15001"),
  "root to peer 9000": out("root", "peer", 9000, "15001"),
  "uid 1337 to peer 9000": out("uid 1337", "peer", 9000, "direct"),
  "gid 1337 to peer 9000": out("gid 1337", "peer", 9000, "direct"),
  "uid 2000 to peer 9000": out("uid 2000", "peer", 9000, "15001"),
  "gid 3000 to peer 9000": out("gid 3000", "peer", 9000, "15001"),
  "group 202 to peer 9000": out("group 202", "peer", 9000, "15001"),
  "app to peer 443": out("app", "peer", 443, "15001"),
  "app to peer 3306": out("app", "peer", 3306, "15001"),
  "app to peer 15020": out("app", "peer", 15020, "direct"),
  "app to range 9000": out("app", "range", 9000, "15001"),
  "app to hole 9000": out("app", "hole", 9000, "15001"),
  "app to elsewhere 9000": out("app", "elsewhere", 9000, "15001"),
  "app to peer by eth1": out("app", "peer's eth1", 9000, "15001"),
  "app to peer 9000 udp": { ...out("app", "peer", 9000, "direct"), protocol: "udp" },
  // DNS (rows 16, 17, 23-26). The proxy asks from the source port the application used: only the zones keep them apart.
  "app to peer 53": out("app", "peer", 53, "15001"),
  "uid 1337 to peer 53": out("uid 1337", "peer", 53, "direct"),
  "app to peer 53 udp": { ...out("app", "peer", 53, "direct"), protocol: "udp" },
  "uid 1337 to peer 53 udp": { ...out("uid 1337", "peer", 53, "direct"), protocol: "udp", sameSourcePort: true },
  "gid 1337 to peer 53 udp": { ...out("gid 1337", "peer", 53, "direct"), protocol: "udp" },
  "app to loopback 53": out("app", "loopback", 53, "direct"),
  "app to loopback 53 udp": { ...out("app", "loopback", 53, "direct"), protocol: "udp" },
  "uid 1337 to pod 53": out("uid 1337", "pod", 53, "15006"),
  // On lo: applications talk to each other directly (row 17), what the proxy sends to the pod is inbound (rows 16, 32).
  "app to loopback 8080": out("app", "loopback", 8080, "direct"),
  "app to passthrough 8080": out("app", "passthrough", 8080, "direct"),
  "app to loopback net 8080": out("app", "loopback net", 8080, "direct"),
  "app to pod 8080": out("app", "pod", 8080, "direct"),
  "root to pod 8080": out("root", "pod", 8080, "direct"),
  "uid 1337 to loopback 8080": out("uid 1337", "loopback", 8080, "direct"),
  "uid 1337 to loopback net 8080": out("uid 1337", "loopback net", 8080, "15006"),
  "uid 1337 to pod 8080": out("uid 1337", "pod", 8080, "15006"),
  "uid 1337 to pod 15008": out("uid 1337", "pod", 15008, ofTproxy("15006")),
  "gid 1337 to pod 8080": out("gid 1337", "pod", 8080, ofTproxy("15006")),
  "uid 2000 to pod 8080": out("uid 2000", "pod", 8080, "direct"),
  "gid 3000 to pod 8080": out("gid 3000", "pod", 8080, "direct"),
  // Row 15, and istio-validation (5.10).
  "uid 1337 from passthrough to pod 8080": { ...out("uid 1337", "pod", 8080, "direct"), source: "passthrough" },
  "uid 1337 from loopback to passthrough 15002": {
    ...out("uid 1337", "passthrough", 15002, "15006"),
    source: "loopback",
  },
  // Row 32: the proxy passes a connection on under its client's address, and gets the application's answers.
  "proxy from peer to pod 8080": { ...out("proxy", "pod", 8080, "direct"), source: "peer", mark: 1337 },
} as const satisfies Record<string, Probe>;

export type ProbeName = keyof typeof BY_NAME;

/** In the order in which they are sent. */
export const PROBES: ReadonlyMap<ProbeName, Probe> = new Map(
  Object.entries(BY_NAME) as [ProbeName, (typeof BY_NAME)[ProbeName]][],
);

function into(from: "peer" | "guest", to: Place, port: number, lands: Landings): Probe {
  return { from, as: "root", to, port, protocol: "tcp", lands };
}

function out(as: Probe["as"], to: Place, port: number, lands: Landings): Probe {
  return { from: "pod", as, to, port, protocol: "tcp", lands };
}
