// Who receives a pod's connections: real ones are made, in and out, in each family, and each tells who accepted it.
import { FAMILIES } from "../../src/core/address.ts";
import { type PodNetwork, type ProbeResult, probe } from "../sidecar/sidecar.ts";

/** One connection that was tried. */
export interface CaptureObservation {
  readonly direction: "inbound" | "outbound";
  readonly family: 4 | 6;
  /** Where it was sent, as `ip:port` or `[ip]:port`: what a capturing sidecar must report as original destination. */
  readonly target: string;
  readonly result: ProbeResult;
}

export interface ObservedPod extends PodNetwork {
  readonly ips: readonly string[];
}

/** Connects from `peer` to `pod` and back, in every family that both have, to `port` (8080), as root.
 * An application must listen there in both pods; a pod that should be captured runs a sidecar as well. */
export async function observeCapture(
  nettool: string,
  pod: ObservedPod,
  peer: ObservedPod,
  port = 8080,
): Promise<readonly CaptureObservation[]> {
  const observations: CaptureObservation[] = [];
  for (const family of FAMILIES) {
    const podIp = pod.ips.find((ip) => familyOf(ip) === family);
    const peerIp = peer.ips.find((ip) => familyOf(ip) === family);
    if (podIp === undefined || peerIp === undefined) continue;
    for (const direction of ["inbound", "outbound"] as const) {
      const [from, ip] = direction === "inbound" ? [peer, podIp] : [pod, peerIp];
      const result = await probe(nettool, { ip, port }, { pod: from });
      observations.push({ direction, family, target: family === 6 ? `[${ip}]:${port}` : `${ip}:${port}`, result });
    }
  }
  return observations;
}

/** True when every observation of the direction was captured with its original destination intact. */
export function isCaptured(
  observations: readonly CaptureObservation[],
  direction: CaptureObservation["direction"],
): boolean {
  const tried = observations.filter((observation) => observation.direction === direction);
  const captured = tried.filter(({ result, target }) => result.outcome === "captured" && result.original === target);
  return tried.length > 0 && captured.length === tried.length;
}

function familyOf(ip: string): 4 | 6 {
  return ip.includes(":") ? 6 : 4;
}
