// Reads what iptables-legacy-save prints back into rules. A line counts as understood only if the rule read from it prints
// as that line again: whatever we do not know, in whatever place, makes the rule opaque and is never lost silently.

import { parseCidr, parseIpAddress } from "../address.ts";
import { quoteText } from "../short-text.ts";
import { findBaseChain } from "./iptables-tables.ts";
import {
  type Chain,
  CONNTRACK_STATES,
  type ConntrackState,
  type Match,
  type Ruleset,
  type Table,
  type Verdict,
} from "./model.ts";
import { renderIptablesRule } from "./render-iptables.ts";
import type { LegacyRule } from "./render-legacy-restore.ts";

/** Output that is not what iptables-save prints. */
export class LegacySaveError extends Error {
  readonly code = "malformed";
  constructor(line: number, text: string, why: string) {
    super(`Cannot read iptables-legacy-save, line ${line} ${quoteText(text, 200)}: ${why}`);
    this.name = "LegacySaveError";
  }
}

type OpenTable = { readonly name: string; readonly chains: Map<string, { policy: string; rules: LegacyRule[] }> };

/** Options that do not take one value: how many words they are. */
const OPTION_WORDS: ReadonlyMap<string, number> = new Map([
  ["--socket-exists", 1],
  ["--match-set", 3],
]);

/** A comment has 256 bytes at most (XT_MAX_COMMENT_LEN), other texts less; printed, each may have a backslash before it. */
const MAX_QUOTED = 512;
/** Names of interfaces and chains may have quotes in them and are printed as they are: only these are followed by a quoted text. */
const OPENING = / --(?:comment|log-prefix|nflog-prefix|string) "/g;
const CLOSING = /(?:[^"\\]|\\.)*"/sy;

/** All tables of one family. Throws LegacySaveError. */
export function parseLegacySave(text: string, family: 4 | 6): Ruleset<LegacyRule> & { readonly family: 4 | 6 } {
  const tables: OpenTable[] = [];
  let open: OpenTable | undefined;
  for (const { number, line } of linesOf(text)) {
    const fail = (why: string): LegacySaveError => new LegacySaveError(number, line, why);
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("*")) {
      open = { name: line.slice(1), chains: new Map() };
      tables.push(open);
      continue;
    }
    if (open === undefined) throw fail("it belongs to no table");
    const chain = /^:(\S+) (\S+)/.exec(line);
    const rule = /^-A (\S+) ?(.*)$/s.exec(line);
    if (chain?.[1] !== undefined && chain[2] !== undefined) {
      open.chains.set(chain[1], { policy: chain[2], rules: [] });
    } else if (rule?.[1] !== undefined) {
      const target = open.chains.get(rule[1]);
      if (target === undefined) throw fail("its chain was not declared");
      target.rules.push(parseRule(rule[1], rule[2] ?? "", family));
    } else if (line === "COMMIT") open = undefined;
    else throw fail('accepted are "*TABLE", ":CHAIN POLICY", "-A CHAIN …", "COMMIT" and comments');
  }
  if (open !== undefined) throw new LegacySaveError(0, `*${open.name}`, "the table has no COMMIT");
  return { family, tables: tables.map(closeTable) };
}

/** A rule's quoted text, a comment for instance, is printed with the line ends that are in it: what follows one is no line of its
 * own, whatever it looks like. */
function linesOf(text: string): { readonly number: number; readonly line: string }[] {
  const printed = text.split("\n");
  const lines: { number: number; line: string }[] = [];
  for (let at = 0; at < printed.length; at++) {
    const number = at + 1;
    const line = printed[at] ?? "";
    const more = line.startsWith("-A ") ? countContinued(printed, at) : 0;
    lines.push({ number, line: more === 0 ? line : printed.slice(at, at + more + 1).join("\n") });
    at += more;
  }
  return lines;
}

/** How many lines belong to the rule that begins at `at`; none where no quote closes it in time. */
function countContinued(printed: readonly string[], at: number): number {
  let isOpen = endsQuoted(printed[at] ?? "", false);
  let length = 0;
  for (let more = 0; isOpen && length <= MAX_QUOTED; ) {
    more += 1;
    const line = printed[at + more];
    if (line === undefined) return 0;
    length += line.length + 1;
    isOpen = endsQuoted(line.slice(0, MAX_QUOTED), isOpen);
    if (!isOpen) return more;
  }
  return 0;
}

function endsQuoted(line: string, isOpenBefore: boolean): boolean {
  let isOpen = isOpenBefore;
  for (let at = 0; ; isOpen = !isOpen) {
    const next = isOpen ? CLOSING : OPENING;
    next.lastIndex = at;
    if (next.exec(line) === null) return isOpen;
    at = next.lastIndex;
  }
}

function closeTable({ name, chains }: OpenTable): Table<LegacyRule> {
  const closed = [...chains].map(([chain, { policy, rules }]): Chain<LegacyRule> => {
    const base = findBaseChain(name, chain);
    if (base === undefined) return { kind: "own", name: chain, rules };
    return { ...base, policy: policy === "DROP" ? "drop" : "accept", rules };
  });
  const isBase = (chain: Chain<LegacyRule>): boolean => chain.kind === "base";
  return { name, chains: [...closed.filter(isBase), ...closed.filter((chain) => !isBase(chain))] };
}

function parseRule(chain: string, line: string, family: 4 | 6): LegacyRule {
  const parsed = parseOptions(
    line.split(" ").filter((word) => word !== ""),
    family,
  );
  if (parsed !== undefined) {
    const rule = { intent: "", ...parsed, line };
    if (renderIptablesRule(chain, rule, family) === `-A ${chain} ${line}`) return rule;
  }
  const opaque = { kind: "opaque", summary: line } as const;
  return { intent: "", matches: [opaque], verdict: opaque, line };
}

function parseOptions(words: readonly string[], family: 4 | 6): { matches: Match[]; verdict: Verdict } | undefined {
  const matches: Match[] = [];
  let negated = false;
  let extension = "";
  for (let at = 0; at < words.length; ) {
    const word = words[at] ?? "";
    if (word === "-j") {
      const verdict = parseVerdict(words.slice(at + 1));
      return verdict === undefined ? undefined : { matches: inModelOrder(matches), verdict };
    }
    if (word === "!") {
      negated = true;
      at += 1;
      continue;
    }
    const value = words[at + 1] ?? "";
    if (word === "-m") {
      extension = value;
      const next = words[at + 2] === "!" ? words[at + 3] : words[at + 2];
      if ((value === "tcp" || value === "udp") && next !== "--sport" && next !== "--dport")
        matches.push({ kind: "any-port", protocol: value, negated: false });
    } else {
      const match = parseMatch(word, [value, words[at + 2] ?? ""], { negated, extension, family });
      if (match === undefined) return undefined;
      matches.push(match);
      negated = false;
    }
    at += OPTION_WORDS.get(word) ?? 2;
  }
  return undefined;
}

/** iptables prints addresses first, the model has them behind the protocol. */
function inModelOrder(matches: readonly Match[]): Match[] {
  const order: readonly Match["kind"][] = ["iifname", "oifname", "protocol", "source", "destination"];
  const rank = ({ kind }: Match): number => (order.includes(kind) ? order.indexOf(kind) : order.length);
  return matches.toSorted((left, right) => rank(left) - rank(right));
}

/** `extension`: the last -m, which tells --mark of a packet from --mark of a connection. */
type MatchContext = { readonly negated: boolean; readonly extension: string; readonly family: 4 | 6 };

function parseMatch(
  option: string,
  [value, second]: readonly [string, string],
  { negated, extension, family }: MatchContext,
): Match | undefined {
  switch (option) {
    case "-i":
      return { kind: "iifname", name: value, negated };
    case "-o":
      return { kind: "oifname", name: value, negated };
    case "-p":
      return value === "tcp" || value === "udp" ? { kind: "protocol", protocol: value, negated } : undefined;
    case "-s":
    case "-d": {
      const cidr = parseCidr(value);
      return cidr === undefined ? undefined : { kind: option === "-s" ? "source" : "destination", cidr, negated };
    }
    case "--sport":
    case "--dport":
      return withNumber(value, 0xffff, (port) => ({ kind: option === "--sport" ? "sport" : "dport", port, negated }));
    case "--sports":
    case "--dports": {
      const ports = value.split(",").map((port) => parseNumber(port, 0xffff));
      if (!ports.every((port) => port !== undefined)) return undefined;
      return { kind: option === "--sports" ? "sports" : "dports", ports, negated };
    }
    case "--uid-owner":
    case "--gid-owner":
      return withNumber(value, 0xffffffff, (id) => ({
        kind: option === "--uid-owner" ? "uid-owner" : "gid-owner",
        id,
        negated,
      }));
    case "--mark": {
      const [text, maskText = "0xffffffff"] = value.split("/");
      const [number, mask] = [parseNumber(text, 0xffffffff), parseNumber(maskText, 0xffffffff)];
      if (number === undefined || mask === undefined) return undefined;
      return { kind: extension === "connmark" ? "connmark" : "mark", value: number, mask, negated };
    }
    case "--socket-exists":
      return { kind: "socket-exists", negated };
    case "--match-set": {
      if (second !== "src" && second !== "dst") return undefined;
      return { kind: "set", name: value, side: second === "src" ? "source" : "destination", family, negated };
    }
    case "--ctstate": {
      const states = value.split(",");
      if (!states.every(isConntrackState)) return undefined;
      return { kind: "ctstate", states: CONNTRACK_STATES.filter((state) => states.includes(state)), negated };
    }
    default:
      return undefined;
  }
}

function parseVerdict([target, ...options]: readonly string[]): Verdict | undefined {
  const value = (name: string): number | undefined => parseNumber(options[options.indexOf(name) + 1], 0xffffffff);
  const masked = (name: string): { value: number; mask: number } | undefined => parseMasked(options, name);
  switch (target) {
    case undefined:
      return undefined;
    case "RETURN":
    case "ACCEPT":
    case "DROP":
      return { kind: ({ RETURN: "return", ACCEPT: "accept", DROP: "drop" } as const)[target] };
    case "REDIRECT": {
      const port = value("--to-ports");
      return port === undefined ? undefined : { kind: "redirect", port };
    }
    case "SNAT": {
      const address = parseIpAddress(options[options.indexOf("--to-source") + 1] ?? "");
      return address === undefined ? undefined : { kind: "snat", address };
    }
    case "TPROXY": {
      const [port, xmark] = [value("--on-port"), masked("--tproxy-mark")];
      return port === undefined || xmark === undefined ? undefined : { kind: "tproxy", port, ...xmark };
    }
    case "MARK": {
      const xmark = masked("--set-xmark");
      return xmark === undefined ? undefined : { kind: "set-xmark", ...xmark };
    }
    case "CONNMARK": {
      const xmark = masked("--set-xmark");
      if (xmark !== undefined) return { kind: "connmark-set-xmark", ...xmark };
      const [nfmask, ctmask] = [value("--nfmask"), value("--ctmask")];
      if (nfmask === undefined || ctmask === undefined) return undefined;
      return { kind: options.includes("--save-mark") ? "connmark-save" : "connmark-restore", nfmask, ctmask };
    }
    case "CT": {
      const zone = value("--zone");
      return zone === undefined ? undefined : { kind: "ct-zone", zone };
    }
    default:
      return { kind: "jump", chain: target };
  }
}

function parseMasked(options: readonly string[], name: string): { value: number; mask: number } | undefined {
  const at = options.indexOf(name);
  const [value, mask] = at < 0 ? [] : (options[at + 1] ?? "").split("/");
  const numbers = { value: parseNumber(value, 0xffffffff), mask: parseNumber(mask, 0xffffffff) };
  if (numbers.value === undefined || numbers.mask === undefined) return undefined;
  return { value: numbers.value, mask: numbers.mask };
}

function parseNumber(text: string | undefined, max: number): number | undefined {
  if (text === undefined || !/^(0x[0-9a-f]{1,8}|[0-9]{1,10})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}

function withNumber(text: string, max: number, make: (value: number) => Match): Match | undefined {
  const value = parseNumber(text, max);
  return value === undefined ? undefined : make(value);
}

function isConntrackState(text: string): text is ConntrackState {
  return (CONNTRACK_STATES as readonly string[]).includes(text);
}
