// What to capture of one ambient pod: the parameters of contract 7.6 after validation. Policy makes this value out of the
// pod and the options; the rules are made from it alone.

import type { IpAddress } from "../address.ts";
import type { Families } from "./families.ts";

/** Told apart from a `SidecarCapture` by its `mode`. */
export type AmbientCapture = {
  readonly mode: "ambient";
  /** Families to write rules for. */
  readonly families: Families;
  /** False: what comes in goes to the application past ztunnel (`ambient.istio.io/bypass-inbound-capture`). */
  readonly captureInbound: boolean;
  /** Send the pod's DNS to ztunnel's DNS port. */
  readonly captureDns: boolean;
  /** Virtual interfaces (virtual machines) whose inbound traffic is outbound traffic of the pod. */
  readonly virtualInterfaces: readonly string[];
  /** The sources that the kubelet's probes are given on the host: they are not captured (contract 1.3, 7.8). */
  readonly probeSource: { readonly v4: IpAddress; readonly v6: IpAddress };
};
