// Netfilter rules as values, independent of the dialect they are written in (iptables over nf_tables, native nftables).
// A match and a verdict mean what the iptables option of the same name means; numbers are already in their final form.
// Values read back from a kernel use the same types: what we do not understand becomes `opaque` and equals nothing.

import type { Cidr, IpAddress } from "../address.ts";

/** All rules of one address family. `inet` exists in the native nftables dialect only. */
export type Ruleset<R extends Rule = Rule> = { readonly family: 4 | 6 | "inet"; readonly tables: readonly Table<R>[] };

/** One table with its chains in the order the kernel lists them: base chains first, then own chains. */
export type Table<R extends Rule = Rule> = { readonly name: string; readonly chains: readonly Chain<R>[] };

/** A chain; a base chain is attached to a hook, an own chain is reached by a jump. */
export type Chain<R extends Rule = Rule> = BaseChain<R> | OwnChain<R>;

/** Attached to a netfilter hook. In the iptables dialect everything but the rules follows from table and name. */
export type BaseChain<R extends Rule = Rule> = {
  readonly kind: "base";
  readonly name: string;
  readonly type: "filter" | "nat" | "route";
  readonly hook: Hook;
  readonly priority: number;
  readonly policy: "accept" | "drop";
  readonly rules: readonly R[];
};

/** Reached by a jump. */
export type OwnChain<R extends Rule = Rule> = {
  readonly kind: "own";
  readonly name: string;
  readonly rules: readonly R[];
};

/** The inet hooks in the order of their kernel numbers (NF_INET_*, uapi/linux/netfilter.h). */
export const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"] as const;
export type Hook = (typeof HOOKS)[number];

/**
 * All matches must hold for the verdict to apply. Order: family, interface in and out, protocol, source, destination (the
 * fixed part of an iptables rule), then the others as written. `intent` says in one sentence why the rule exists; it is not
 * stored in the kernel, is "" on rules read back, and never counts in a comparison.
 */
export type Rule = {
  readonly intent: string;
  readonly matches: readonly Match[];
  readonly verdict: Verdict;
  /**
   * True: in a base chain it has to stand before the rules of others, because the first that decides wins there
   * (`-I CHAIN 1`). Rules without it stand behind them. Like the intent it is not stored in the kernel.
   */
  readonly isFirst?: true;
};

export type Protocol = "tcp" | "udp";

/** The largest user or group id; the next one means "none" to the kernel. */
export const MAX_OWNER_ID = 0xffff_fffe;

/** Connection-tracking states, in the order iptables prints them. */
export const CONNTRACK_STATES = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"] as const;
export type ConntrackState = (typeof CONNTRACK_STATES)[number];

/** One condition. `negated` turns it round as a whole ("!" before the option). */
export type Match =
  /** Packets of one address family: for rules of an inet table that name no address. */
  | { readonly kind: "nfproto"; readonly family: 4 | 6; readonly negated: boolean }
  | { readonly kind: "iifname"; readonly name: string; readonly negated: boolean }
  | { readonly kind: "oifname"; readonly name: string; readonly negated: boolean }
  | { readonly kind: "protocol"; readonly protocol: Protocol; readonly negated: boolean }
  | { readonly kind: "source"; readonly cidr: Cidr; readonly negated: boolean }
  | { readonly kind: "destination"; readonly cidr: Cidr; readonly negated: boolean }
  /** One TCP or UDP port; the rule has a `protocol` match that says which. */
  | { readonly kind: "sport"; readonly port: number; readonly negated: boolean }
  | { readonly kind: "dport"; readonly port: number; readonly negated: boolean }
  /**
   * `-m tcp` without an option: what `-p tcp` says already. In the iptables dialect only, where upstream writes it: its
   * check for a rule (`-C`) does not find the rule without it.
   */
  | { readonly kind: "any-port"; readonly protocol: Protocol; readonly negated: boolean }
  /** A list of ports (xt_multiport); the rule has a `protocol` match. */
  | { readonly kind: "sports"; readonly ports: readonly number[]; readonly negated: boolean }
  | { readonly kind: "dports"; readonly ports: readonly number[]; readonly negated: boolean }
  /** The user or group id of the socket that sends the packet. Turned round, xt_owner also matches without a socket. */
  | { readonly kind: "uid-owner"; readonly id: number; readonly negated: boolean }
  | { readonly kind: "gid-owner"; readonly id: number; readonly negated: boolean }
  /** Sent by a socket of this machine, not forwarded for somebody. xt_owner only: native nftables has no such match. */
  | { readonly kind: "socket-exists"; readonly negated: boolean }
  /** The address is an element of the named set: an ipset for iptables, a set of the same table in native nftables. */
  | {
      readonly kind: "set";
      readonly name: string;
      readonly side: "source" | "destination";
      readonly family: 4 | 6;
      readonly negated: boolean;
    }
  /** (mark & mask) == value. */
  | { readonly kind: "mark"; readonly value: number; readonly mask: number; readonly negated: boolean }
  | { readonly kind: "connmark"; readonly value: number; readonly mask: number; readonly negated: boolean }
  | { readonly kind: "ctstate"; readonly states: readonly ConntrackState[]; readonly negated: boolean }
  | Opaque;

/** What happens when all matches hold. */
export type Verdict =
  | { readonly kind: "return" }
  | { readonly kind: "accept" }
  | { readonly kind: "drop" }
  | { readonly kind: "jump"; readonly chain: string }
  /** To this port of the machine itself (DNAT); ends the nat table for the connection. */
  | { readonly kind: "redirect"; readonly port: number }
  /** The connection gets this source address; ends the nat table for it. */
  | { readonly kind: "snat"; readonly address: IpAddress }
  /** To the socket that listens on this port, without changing the packet; sets mark = (mark & ~mask) ^ value. */
  | { readonly kind: "tproxy"; readonly port: number; readonly value: number; readonly mask: number }
  /** Packet mark = (mark & ~mask) ^ value; the next rule follows. `--set-mark v` is value v, mask 0xffffffff. */
  | { readonly kind: "set-xmark"; readonly value: number; readonly mask: number }
  /** Connection mark = (mark & ~mask) ^ value; the next rule follows. */
  | { readonly kind: "connmark-set-xmark"; readonly value: number; readonly mask: number }
  /** Packet mark into connection mark; the next rule follows. */
  | { readonly kind: "connmark-save"; readonly nfmask: number; readonly ctmask: number }
  /** Connection mark into packet mark; the next rule follows. */
  | { readonly kind: "connmark-restore"; readonly nfmask: number; readonly ctmask: number }
  /** Tracks the packet in this conntrack zone; the next rule follows. */
  | { readonly kind: "ct-zone"; readonly zone: number }
  | Opaque;

/** Something a kernel holds and we do not model: never equal to anything, not even to itself. */
export type Opaque = { readonly kind: "opaque"; readonly summary: string };

/** What a pod's netns needs beside netfilter: contract 5.6. */
export type PodNetwork = {
  readonly addresses: readonly LoopbackAddress[];
  readonly policyRules: readonly PolicyRule[];
  readonly routes: readonly LocalRoute[];
};

/** Equiv: ip -6 addr add CIDR dev lo */
export type LoopbackAddress = { readonly intent: string; readonly cidr: Cidr };

/**
 * Equiv: ip [-6] rule add fwmark VALUE/MASK lookup TABLE priority PRIORITY. The priority is always told: without it the
 * kernel takes the next free one and adds the same rule as often as it is asked.
 */
export type PolicyRule = {
  readonly intent: string;
  readonly family: 4 | 6;
  readonly fwmark: number;
  readonly fwmask: number;
  readonly table: number;
  readonly priority: number;
};

/** Equiv: ip [-6] route add local DESTINATION dev lo table TABLE */
export type LocalRoute = { readonly intent: string; readonly destination: Cidr; readonly table: number };
