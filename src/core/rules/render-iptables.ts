// Rules as people know them: the text of `iptables-save` (1.8.9, without counters). What this prints is also what
// `iptables-restore --noflush` reads, so it serves the log, the status document and the tests.

import type { Cidr } from "../address.ts";
import { formatIpAsLibc } from "../address.ts";
import { IPTABLES_TABLES } from "./iptables-tables.ts";
import type { Match, Rule, Ruleset, Table, Verdict } from "./model.ts";

export type RenderOptions = {
  /** Every rule is preceded by a comment line that says why it is there. */
  readonly withIntent?: boolean;
  /** Without the lines of base chains: what iptables-restore reads then leaves the policies of others alone. */
  readonly withoutPolicies?: boolean;
};

/** The whole ruleset: tables, then their chains with the policy, then the rules. Ends with a newline unless empty. */
export function renderIptables(ruleset: Ruleset, options: RenderOptions = {}): string {
  return ruleset.tables.map((table) => renderTable(table, ruleset.family, options)).join("");
}

/** One rule as `iptables -S` prints it: "-A CHAIN …". */
export function renderIptablesRule(chain: string, rule: Rule, family: Ruleset["family"]): string {
  return ["-A", chain, ...renderMatches(rule.matches), ...renderIptablesVerdict(rule.verdict, family)].join(" ");
}

function renderTable(table: Table, family: Ruleset["family"], options: RenderOptions): string {
  const base = (IPTABLES_TABLES.get(table.name) ?? []).map(({ name }) => {
    const chain = table.chains.find((candidate) => candidate.name === name);
    return `:${name} ${chain?.kind === "base" && chain.policy === "drop" ? "DROP" : "ACCEPT"} [0:0]`;
  });
  const own = table.chains.filter((chain) => chain.kind === "own").map(({ name }) => `:${name} - [0:0]`);
  const rules = table.chains.flatMap((chain) =>
    chain.rules.flatMap((rule) => [
      ...(options.withIntent === true && rule.intent !== "" ? [`# ${rule.intent}`] : []),
      renderIptablesRule(chain.name, rule, family),
    ]),
  );
  return [`*${table.name}`, ...(options.withoutPolicies === true ? [] : base), ...own, ...rules, "COMMIT", ""].join(
    "\n",
  );
}

/** iptables prints source before destination before interfaces before protocol, then the extensions in their order. */
function renderMatches(matches: readonly Match[]): string[] {
  const fixed = (kind: Match["kind"]): string[] =>
    matches.filter((match) => match.kind === kind).flatMap((match) => renderIptablesMatch(match, undefined));
  const protocol = matches.find((match) => match.kind === "protocol")?.protocol;
  const kinds = ["source", "destination", "iifname", "oifname", "protocol"] as const;
  const extensions = matches.filter((match) => !(kinds as readonly string[]).includes(match.kind));
  return [...kinds.flatMap(fixed), ...extensions.flatMap((match) => renderIptablesMatch(match, protocol))];
}

/** One condition as words of a command line; ports stand under the name of the rule's protocol. */
export function renderIptablesMatch(match: Match, protocol: string | undefined): string[] {
  const option = (name: string, value: string): string[] =>
    match.kind !== "opaque" && match.negated ? ["!", name, value] : [name, value];
  switch (match.kind) {
    case "nfproto":
      return match.negated ? ["!", `-${match.family}`] : [`-${match.family}`];
    case "source":
      return option("-s", renderCidr(match.cidr));
    case "destination":
      return option("-d", renderCidr(match.cidr));
    case "iifname":
      return option("-i", match.name);
    case "oifname":
      return option("-o", match.name);
    case "protocol":
      return option("-p", match.protocol);
    case "sport":
    case "dport":
      return ["-m", protocol ?? "tcp", ...option(`--${match.kind}`, String(match.port))];
    case "any-port":
      return match.negated ? ["-m", match.protocol, "!"] : ["-m", match.protocol];
    case "sports":
    case "dports":
      return ["-m", "multiport", ...option(`--${match.kind}`, match.ports.join(","))];
    case "uid-owner":
    case "gid-owner":
      return ["-m", "owner", ...option(`--${match.kind}`, String(match.id))];
    case "socket-exists":
      return ["-m", "owner", ...(match.negated ? ["!"] : []), "--socket-exists"];
    case "set":
      return ["-m", "set", ...option("--match-set", match.name), match.side === "source" ? "src" : "dst"];
    case "mark":
    case "connmark":
      return ["-m", match.kind, ...option("--mark", renderMark(match.value, match.mask))];
    case "ctstate":
      return ["-m", "conntrack", ...option("--ctstate", match.states.join(","))];
    case "opaque":
      return [`[${match.summary}]`];
  }
}

/** What the rule does, as words of a command line. */
export function renderIptablesVerdict(verdict: Verdict, family: Ruleset["family"]): string[] {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
      return ["-j", verdict.kind.toUpperCase()];
    case "jump":
      return ["-j", verdict.chain];
    case "redirect":
      return ["-j", "REDIRECT", "--to-ports", String(verdict.port)];
    case "snat":
      return ["-j", "SNAT", "--to-source", formatIpAsLibc(verdict.address)];
    case "tproxy": {
      const mark = `${hex(verdict.value)}/${hex(verdict.mask)}`;
      const anyAddress = family === 6 ? "::" : "0.0.0.0";
      return ["-j", "TPROXY", "--on-port", String(verdict.port), "--on-ip", anyAddress, "--tproxy-mark", mark];
    }
    case "set-xmark":
      return ["-j", "MARK", "--set-xmark", `${hex(verdict.value)}/${hex(verdict.mask)}`];
    case "connmark-set-xmark":
      return ["-j", "CONNMARK", "--set-xmark", `${hex(verdict.value)}/${hex(verdict.mask)}`];
    case "connmark-save":
    case "connmark-restore": {
      const option = verdict.kind === "connmark-save" ? "--save-mark" : "--restore-mark";
      return ["-j", "CONNMARK", option, "--nfmask", hex(verdict.nfmask), "--ctmask", hex(verdict.ctmask)];
    }
    case "ct-zone":
      return ["-j", "CT", "--zone", String(verdict.zone)];
    case "opaque":
      return ["-j", `[${verdict.summary}]`];
  }
}

function renderCidr(cidr: Cidr): string {
  return `${formatIpAsLibc(cidr)}/${cidr.prefixLength}`;
}

function renderMark(value: number, mask: number): string {
  return mask === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
