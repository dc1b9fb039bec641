// The words rules are written in: short constructors for matches and verdicts, so that a rule reads like its iptables line.

import type { Cidr, IpAddress } from "../address.ts";
import type { ConntrackState, Match, Rule, Verdict } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";

/** One rule: why it is there, when it applies, what it does. */
export function rule(intent: string, matches: readonly Match[], verdict: Verdict): Rule {
  return { intent, matches, verdict };
}

/** The same in its place: for both families and behind the last rule of the chain, unless `where` says otherwise. */
export function planRule(
  table: string,
  chain: string,
  intent: string,
  matches: readonly Match[],
  verdict: Verdict,
  where: Pick<PlannedRule, "family" | "at"> = {},
): PlannedRule {
  return { table, chain, ...where, rule: rule(intent, matches, verdict) };
}

/** Turns a match round ("!"). An opaque match cannot be turned and stays as it is. */
export function not(match: Match): Match {
  return match.kind === "opaque" ? match : { ...match, negated: !match.negated };
}

/** meta nfproto ipv4, meta nfproto ipv6 */
export const nfproto = (family: 4 | 6): Match => ({ kind: "nfproto", family, negated: false });
/** -i NAME */
export const iifname = (name: string): Match => ({ kind: "iifname", name, negated: false });
/** -o NAME */
export const oifname = (name: string): Match => ({ kind: "oifname", name, negated: false });
/** -p tcp */
export const TCP: Match = { kind: "protocol", protocol: "tcp", negated: false };
/** -p udp */
export const UDP: Match = { kind: "protocol", protocol: "udp", negated: false };
/** -s CIDR */
export const source = (cidr: Cidr): Match => ({ kind: "source", cidr, negated: false });
/** -d CIDR */
export const destination = (cidr: Cidr): Match => ({ kind: "destination", cidr, negated: false });
/** --sport PORT */
export const sport = (port: number): Match => ({ kind: "sport", port, negated: false });
/** --dport PORT */
export const dport = (port: number): Match => ({ kind: "dport", port, negated: false });
/** -m tcp, without an option */
export const ANY_TCP_PORT: Match = { kind: "any-port", protocol: "tcp", negated: false };
/** -m multiport --dports PORTS */
export const dports = (...ports: number[]): Match => ({ kind: "dports", ports, negated: false });
/** -m owner --uid-owner ID */
export const uidOwner = (id: number): Match => ({ kind: "uid-owner", id, negated: false });
/** -m owner --gid-owner ID */
export const gidOwner = (id: number): Match => ({ kind: "gid-owner", id, negated: false });
/** -m owner --socket-exists */
export const SOCKET_EXISTS: Match = { kind: "socket-exists", negated: false };
/** -m set --match-set NAME dst */
export const destinationIn = (name: string, family: 4 | 6): Match => ({
  kind: "set",
  name,
  side: "destination",
  family,
  negated: false,
});
/** -m mark --mark VALUE[/MASK] */
export const mark = (value: number, mask = 0xffffffff): Match => ({ kind: "mark", value, mask, negated: false });
/** -m connmark --mark VALUE[/MASK] */
export const connmark = (value: number, mask = 0xffffffff): Match => ({
  kind: "connmark",
  value,
  mask,
  negated: false,
});
/** -m conntrack --ctstate STATES */
export const ctstate = (...states: ConntrackState[]): Match => ({ kind: "ctstate", states, negated: false });

/** -j RETURN */
export const RETURN: Verdict = { kind: "return" };
/** -j ACCEPT */
export const ACCEPT: Verdict = { kind: "accept" };
/** -j DROP */
export const DROP: Verdict = { kind: "drop" };
/** -j CHAIN */
export const jump = (chain: string): Verdict => ({ kind: "jump", chain });
/** -j REDIRECT --to-ports PORT */
export const redirect = (port: number): Verdict => ({ kind: "redirect", port });
/** -j TPROXY --tproxy-mark VALUE/0xffffffff --on-port PORT */
export const tproxy = (port: number, value: number): Verdict => ({ kind: "tproxy", port, value, mask: 0xffffffff });
/** -j SNAT --to-source ADDRESS */
export const snat = (address: IpAddress): Verdict => ({ kind: "snat", address });
/** -j MARK --set-mark VALUE */
export const setMark = (value: number): Verdict => ({ kind: "set-xmark", value, mask: 0xffffffff });
/** -j CONNMARK --set-xmark VALUE/MASK */
export const setConnmark = (value: number, mask: number): Verdict => ({ kind: "connmark-set-xmark", value, mask });
/** -j CONNMARK --save-mark */
export const SAVE_MARK: Verdict = { kind: "connmark-save", nfmask: 0xffffffff, ctmask: 0xffffffff };
/** -j CONNMARK --restore-mark */
export const RESTORE_MARK: Verdict = { kind: "connmark-restore", nfmask: 0xffffffff, ctmask: 0xffffffff };
/** -j CT --zone ZONE */
export const ctZone = (zone: number): Verdict => ({ kind: "ct-zone", zone });
