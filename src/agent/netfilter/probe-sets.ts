// What the host's sets of probed addresses have in common, whatever they are made of; what to put into them is decided in
// host-probes.ts.
import type { IpAddress } from "../../core/address.ts";

/** One address that is let probes, and whose it is: the comment beside it in the kernel. Empty: nobody's we know of. */
export interface ProbeEntry {
  readonly ip: IpAddress;
  readonly podUid: string;
}

/** The two sets of one kind, one for each family. */
export interface ProbeSets {
  readonly kind: "ipset" | "nftables";
  /** What a set holds; undefined: there is none that can be used. Changes nothing. @throws {KernelRefusalError} */
  read(family: 4 | 6): readonly ProbeEntry[] | undefined;
  /** Makes addresses these pods' and takes others out, whether they were there or not. An address is told once.
   * @throws {KernelRefusalError} also where there is no set. */
  write(family: 4 | 6, put: readonly ProbeEntry[], remove: readonly IpAddress[]): void;
}
