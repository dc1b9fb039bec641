/**
 * The capabilities that the agent works with: those that upstream's chart grants (contract 2.2), what each is for, and which of
 * them a process lacks. Numbers of linux/capability.h.
 */

export interface NeededCapability {
  /** Without CAP_, as a securityContext has it. */
  readonly name: string;
  readonly bit: bigint;
  readonly use: string;
}

export const NEEDED_CAPABILITIES = [
  { name: "NET_ADMIN", bit: 12n, use: "writing rules" },
  { name: "SYS_ADMIN", bit: 21n, use: "entering pods' network namespaces" },
  { name: "SYS_PTRACE", bit: 19n, use: "finding the namespaces of pods that run" },
  { name: "DAC_OVERRIDE", bit: 1n, use: "writing into the host's folders whoever owns them" },
  { name: "NET_RAW", bit: 13n, use: "iptables legacy, where nothing else works" },
] as const satisfies readonly NeededCapability[];

/** @param status the text of /proc/PID/status; undefined when it does not tell. */
export function missingCapabilities(status: string): readonly NeededCapability[] | undefined {
  const text = /^CapEff:\t([0-9a-f]{1,16})$/m.exec(status)?.[1];
  if (text === undefined) return undefined;
  const effective = BigInt(`0x${text}`);
  return NEEDED_CAPABILITIES.filter(({ bit }) => (effective & (1n << bit)) === 0n);
}
