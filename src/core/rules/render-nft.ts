// Rules in the text of `nft -s list ruleset` (1.0.6, without counters' values), for the native dialect.

import { formatIpAsLibc } from "../address.ts";
import type { BaseChain, Chain, Match, Rule, Ruleset, Verdict } from "./model.ts";

/** `withIntent`: every rule is preceded by a comment line that says why it is there. */
export type RenderNftOptions = { readonly withIntent?: boolean };

/** Names nft knows for priorities (nft(8), "Standard priority names"); dstnat only at prerouting, srcnat only at postrouting. */
const PRIORITY_NAME: ReadonlyMap<string, string> = new Map([
  ["prerouting -300", "raw"],
  ["output -300", "raw"],
  ["prerouting -150", "mangle"],
  ["output -150", "mangle"],
  ["prerouting -100", "dstnat"],
  ["postrouting 100", "srcnat"],
]);

/** The whole ruleset; ends with a newline unless empty. What it prints `nft -f` reads. */
export function renderNft(ruleset: Ruleset, options: RenderNftOptions = {}): string {
  const family = ruleset.family === "inet" ? "inet" : ruleset.family === 4 ? "ip" : "ip6";
  return ruleset.tables
    .map(
      ({ name, chains }) =>
        `table ${family} ${name} {\n${chains.map((chain) => renderChain(chain, options)).join("\n")}}\n`,
    )
    .join("");
}

/** One rule without its chain. */
export function renderNftRule(rule: Rule): string {
  const family = rule.matches.find((match) => match.kind === "source" || match.kind === "destination")?.cidr.family;
  return [...renderMatches(rule.matches), ...renderVerdict(rule.verdict, family)].join(" ");
}

function renderChain(chain: Chain, options: RenderNftOptions): string {
  const head = chain.kind === "base" ? [`\t\t${renderHook(chain)}`] : [];
  const rules = chain.rules.flatMap((rule) => [
    ...(options.withIntent === true && rule.intent !== "" ? [`\t\t# ${rule.intent}`] : []),
    `\t\t${renderNftRule(rule)}`,
  ]);
  return [`\tchain ${chain.name} {`, ...head, ...rules, "\t}", ""].join("\n");
}

function renderHook({ type, hook, priority, policy }: BaseChain): string {
  const name = PRIORITY_NAME.get(`${hook} ${priority}`) ?? String(priority);
  return `type ${type} hook ${hook} priority ${name}; policy ${policy};`;
}

/** nft leaves out a protocol that a port behind it implies, and prints the port under the protocol's name. */
function renderMatches(matches: readonly Match[]): string[] {
  const protocol = matches.find((match) => match.kind === "protocol" && !match.negated);
  const named = protocol?.kind === "protocol" ? protocol.protocol : "th";
  const hasPort = matches.some(({ kind }) => ["sport", "dport", "sports", "dports"].includes(kind));
  return matches.filter((match) => !(hasPort && match === protocol)).flatMap((match) => renderMatch(match, named));
}

function renderMatch(match: Match, protocol: string): string[] {
  const compare = (name: string, value: string): string[] =>
    match.kind !== "opaque" && match.negated ? [name, "!=", value] : [name, value];
  switch (match.kind) {
    case "nfproto":
      return compare("meta nfproto", `ipv${match.family}`);
    case "iifname":
    case "oifname":
      return compare(match.kind, `"${match.name}"`);
    case "protocol":
      return compare("meta l4proto", match.protocol);
    case "set":
      return compare(addressName(match.side, match.family), `@${match.name}`);
    case "source":
    case "destination": {
      const { family, prefixLength, bytes } = match.cidr;
      const isHost = prefixLength === bytes.length * 8;
      return compare(
        addressName(match.kind, family),
        isHost ? formatIpAsLibc(match.cidr) : `${formatIpAsLibc(match.cidr)}/${prefixLength}`,
      );
    }
    case "sport":
    case "dport":
      return compare(`${protocol} ${match.kind}`, String(match.port));
    case "any-port":
      return [`[any ${match.protocol} port]`]; // only ever told to people, as it says nothing in nftables
    case "sports":
    case "dports":
      return compare(`${protocol} ${match.kind.slice(0, -1)}`, `{ ${match.ports.join(", ")} }`);
    case "uid-owner":
      return compare("meta skuid", String(match.id));
    case "gid-owner":
      return compare("meta skgid", String(match.id));
    case "socket-exists":
      return [`[${match.negated ? "no " : ""}socket]`]; // nftables has no such match; this is only ever told to people
    case "mark":
    case "connmark": {
      const load = match.kind === "mark" ? "meta mark" : "ct mark";
      if (match.mask === 0xffffffff) return compare(load, hex(match.value));
      return [load, "&", hex(match.mask), match.negated ? "!=" : "==", hex(match.value)];
    }
    case "ctstate": {
      // nft lists states by their bits.
      const order = ["INVALID", "ESTABLISHED", "RELATED", "NEW", "UNTRACKED"] as const;
      const states = order
        .filter((state) => match.states.includes(state))
        .join(",")
        .toLowerCase();
      return match.negated ? ["ct state !", states] : ["ct state", states];
    }
    case "opaque":
      return [`[${match.summary}]`];
  }
}

function renderVerdict(verdict: Verdict, family: 4 | 6 | undefined): string[] {
  switch (verdict.kind) {
    case "return":
    case "accept":
    case "drop":
      return ["counter", verdict.kind];
    case "jump":
      return ["counter", "jump", verdict.chain];
    case "redirect":
      return ["counter", "redirect to", `:${verdict.port}`];
    case "snat":
      return ["counter snat", verdict.address.family === 4 ? "ip" : "ip6", "to", formatIpAsLibc(verdict.address)];
    case "tproxy":
      return [
        "tproxy",
        family === 6 ? "ip6" : "ip",
        "to",
        `:${verdict.port}`,
        renderSetMark("meta mark", verdict.value, verdict.mask),
        "counter accept",
      ];
    case "set-xmark":
      return ["counter", renderSetMark("meta mark", verdict.value, verdict.mask)];
    case "connmark-set-xmark":
      return ["counter", renderSetMark("ct mark", verdict.value, verdict.mask)];
    case "connmark-save":
      return ["counter ct mark set meta mark"];
    case "connmark-restore":
      return ["counter meta mark set ct mark"];
    case "ct-zone":
      return ["counter ct zone set", String(verdict.zone)];
    case "opaque":
      return [`[${verdict.summary}]`];
  }
}

/** The kernel holds (mark & ~mask) ^ value; nft shows the bits of it that are set whatever they were behind "|". */
function renderSetMark(mark: string, value: number, mask: number): string {
  if (mask === 0xffffffff) return `${mark} set ${hex(value)}`;
  const [kept, turned, set] = [(~mask | value) >>> 0, (value & ~mask) >>> 0, (value & mask) >>> 0];
  const steps = [
    `& ${hex(kept)}`,
    ...(turned === 0 ? [] : [`^ ${hex(turned)}`]),
    ...(set === 0 ? [] : [`| ${hex(set)}`]),
  ];
  return `${mark} set ${mark} ${steps.join(" ")}`;
}

function addressName(side: "source" | "destination", family: 4 | 6): string {
  return `${family === 4 ? "ip" : "ip6"} ${side === "source" ? "saddr" : "daddr"}`;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
