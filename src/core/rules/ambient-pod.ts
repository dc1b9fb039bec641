// The redirection of one ambient pod as rules (contract 7.6, of 1.29 and later) and as routes (7.7).
//
//   in:   PREROUTING → ISTIO_PRERT → ztunnel's plain-text port (:15006), unless it is HBONE (:15008) or a probe
//   out:  OUTPUT → ISTIO_OUTPUT → ztunnel (:15001), DNS → :15053, unless it is ztunnel's own
//   back: ztunnel connects to the application under its client's address; mangle marks that connection, and its answers
//         are routed to `lo`, where ztunnel's socket is
//
// Chains, marks and order are upstream's, so that either implementation can take over a running pod. Families are written
// one by one: neither depends on what became of the other (D13), and one that is not captured is not touched.

import { everyAddress, type Family, LOOPBACK } from "../address.ts";
import { quoteText } from "../short-text.ts";
import type { AmbientCapture } from "./ambient-capture.ts";
import {
  AMBIENT_CHAIN,
  AMBIENT_PORTS,
  AMBIENT_ROUTE_TABLE,
  AMBIENT_RULE_PRIORITY,
  MARK_MASK,
  probeSourceOf,
  RETURN_MARK,
  ZTUNNEL_DNS_ZONE,
  ZTUNNEL_MARK,
} from "./ambient-numbers.ts";
import { familiesOf } from "./families.ts";
import { isInterfaceName } from "./interface-name.ts";
import type { Match, PodNetwork, Ruleset } from "./model.ts";
import type { PlannedRule } from "./planned-rule.ts";
import { resolveInetPlan, resolvePlan } from "./planned-rule.ts";
import {
  ACCEPT,
  ANY_TCP_PORT,
  connmark,
  ctZone,
  destination,
  dport,
  iifname,
  jump,
  mark,
  nfproto,
  not,
  oifname,
  planRule,
  RESTORE_MARK,
  RETURN,
  redirect,
  setConnmark,
  source,
  sport,
  TCP,
  UDP,
} from "./rule-words.ts";

type Dialect = "iptables" | "nftables";

const DNS_PORT = 53;
const FROM_ZTUNNEL = mark(ZTUNNEL_MARK, MARK_MASK);
const NOT_FROM_ZTUNNEL = not(FROM_ZTUNNEL);

/**
 * The rules of every family that is captured, in the iptables dialect. Equal captures give equal rulesets.
 * @throws {RangeError} for a virtual interface whose name no rule may hold.
 */
export function ambientRules(capture: AmbientCapture): Ruleset[] {
  const plan = planAmbient(capture, "iptables");
  return familiesOf(capture).map((family) => resolvePlan(plan, family));
}

/**
 * The rules in native nftables, one ruleset of family inet; none where no family is captured. Where one family is captured,
 * the other is not redirected: rules that redirect name an address of their family, or the family itself.
 * @throws {RangeError} for a virtual interface whose name no rule may hold.
 */
export function ambientInetRules(capture: AmbientCapture): Ruleset[] {
  const plan = planAmbient(capture, "nftables");
  return plan.length === 0 ? [] : [resolveInetPlan(plan, "istio-ambient")];
}

/** What the pod's netns needs beside the rules: contract 7.7. Applying it twice is harmless. */
export function ambientNetwork(capture: Pick<AmbientCapture, "families">): PodNetwork {
  return {
    addresses: [],
    policyRules: familiesOf(capture).map((family) => ({
      intent: "Answers of the application to ztunnel's connections are for a socket of this machine",
      family,
      fwmark: RETURN_MARK,
      fwmask: MARK_MASK,
      table: AMBIENT_ROUTE_TABLE,
      priority: AMBIENT_RULE_PRIORITY,
    })),
    routes: familiesOf(capture).map((family) => ({
      intent: "Every destination is local for marked packets",
      destination: everyAddress(family),
      table: AMBIENT_ROUTE_TABLE,
    })),
  };
}

/** All rules. Within a chain they stand in upstream's order. */
function planAmbient(capture: AmbientCapture, dialect: Dialect): PlannedRule[] {
  const families = familiesOf(capture);
  const [first] = families;
  if (first === undefined) return [];
  /** For a redirection that names no address: keeps it from acting on a family that is not captured. */
  const ofCaptured = dialect === "nftables" && families.length === 1 ? [nfproto(first)] : [];
  // Says nothing, and is there so that upstream finds its rule.
  const anyPort = dialect === "iptables" ? [ANY_TCP_PORT] : [];
  return [
    ...planJumps(capture),
    ...planGuests(capture, ofCaptured),
    ...(capture.captureInbound ? families.flatMap((family) => planProbes(capture, family, anyPort)) : []),
    ...(capture.captureInbound ? families.map(planInbound) : []),
    ...planWayBack(),
    ...families.map((family) => planProbeAnswers(capture, family, anyPort)),
    ...(capture.captureDns ? planDns(families, ofCaptured) : []),
    ...planOutbound(families),
  ];
}

function planJumps({ captureDns }: AmbientCapture): PlannedRule[] {
  const { prerouting, output } = AMBIENT_CHAIN;
  const zones = "DNS gets its conntrack zone before it is tracked";
  return [
    planRule("mangle", "PREROUTING", "Connections of ztunnel are looked for in what comes in", [], jump(prerouting)),
    planRule("mangle", "OUTPUT", "Answers for ztunnel are looked for before they are routed", [], jump(output)),
    planRule("nat", "OUTPUT", "Every connection that leaves is looked at", [], jump(output)),
    ...(captureDns
      ? [planRule("raw", "PREROUTING", zones, [], jump(prerouting)), planRule("raw", "OUTPUT", zones, [], jump(output))]
      : []),
    planRule("nat", "PREROUTING", "Every connection that comes in is looked at", [], jump(prerouting)),
  ];
}

function planGuests({ virtualInterfaces }: AmbientCapture, ofCaptured: readonly Match[]): PlannedRule[] {
  const { prerouting } = AMBIENT_CHAIN;
  const toZtunnel = redirect(AMBIENT_PORTS.outbound);
  return virtualInterfaces
    .map(checkInterfaceName)
    .flatMap((name) => [
      planRule(
        "nat",
        prerouting,
        `A guest behind ${name} sends outbound traffic`,
        [...ofCaptured, iifname(name), TCP],
        toZtunnel,
      ),
      planRule("nat", prerouting, `What comes from ${name} is never inbound traffic`, [iifname(name), TCP], RETURN),
    ]);
}

function planProbes(capture: AmbientCapture, family: Family, anyPort: readonly Match[]): PlannedRule[] {
  const matches = [TCP, source(probeSourceOf(capture.probeSource, family)), ...anyPort];
  return [
    planRule("nat", AMBIENT_CHAIN.prerouting, "Probes of the kubelet go to the application", matches, ACCEPT, {
      family,
    }),
  ];
}

function planInbound(family: Family): PlannedRule {
  const intent = "What comes in as plain text goes to ztunnel, unless ztunnel sent it; HBONE arrives there by itself";
  const matches = [TCP, notToLoopback(family), not(dport(AMBIENT_PORTS.hbone)), NOT_FROM_ZTUNNEL];
  return planRule("nat", AMBIENT_CHAIN.prerouting, intent, matches, redirect(AMBIENT_PORTS.inbound), { family });
}

/** Also where inbound traffic bypasses: HBONE still arrives, and its connections to the application need their answers. */
function planWayBack(): PlannedRule[] {
  const { prerouting, output } = AMBIENT_CHAIN;
  const remember = "A connection that ztunnel opens to the application is remembered by a mark";
  const restore = "Answers of the application to such a connection get that mark, and by it go back to ztunnel";
  return [
    planRule("mangle", prerouting, remember, [FROM_ZTUNNEL], setConnmark(RETURN_MARK, MARK_MASK)),
    planRule("mangle", output, restore, [connmark(RETURN_MARK, MARK_MASK)], RESTORE_MARK),
  ];
}

function planProbeAnswers(capture: AmbientCapture, family: Family, anyPort: readonly Match[]): PlannedRule {
  const matches = [TCP, destination(probeSourceOf(capture.probeSource, family)), ...anyPort];
  return planRule("nat", AMBIENT_CHAIN.output, "What goes to the source of probes is not captured", matches, ACCEPT, {
    family,
  });
}

/** The zones keep ztunnel's question to a resolver apart from the application's, which has the same addresses and ports. */
function planDns(families: readonly Family[], ofCaptured: readonly Match[]): PlannedRule[] {
  const { prerouting, output } = AMBIENT_CHAIN;
  const [toZtunnel, zone] = [redirect(AMBIENT_PORTS.dns), ctZone(ZTUNNEL_DNS_ZONE)];
  const udp = [...ofCaptured, not(oifname("lo")), UDP, NOT_FROM_ZTUNNEL, dport(DNS_PORT)];
  const tcp = (family: Family) => [TCP, notToLoopback(family), dport(DNS_PORT), NOT_FROM_ZTUNNEL];
  const questions = [UDP, FROM_ZTUNNEL, dport(DNS_PORT)];
  const answers = [UDP, NOT_FROM_ZTUNNEL, sport(DNS_PORT)];
  return [
    planRule("nat", output, "DNS over UDP goes to ztunnel", udp, toZtunnel),
    ...families.map((family) =>
      planRule("nat", output, "DNS over TCP goes to ztunnel", tcp(family), toZtunnel, { family }),
    ),
    planRule("raw", output, "Questions of ztunnel to the resolvers are tracked apart", questions, zone),
    planRule("raw", prerouting, "Answers of the resolvers belong to ztunnel's questions", answers, zone),
  ];
}

function planOutbound(families: readonly Family[]): PlannedRule[] {
  const { output } = AMBIENT_CHAIN;
  const marked = "What has the mark of the way back to ztunnel is not captured";
  const local = "Applications of the pod talk to each other directly";
  const toZtunnel = redirect(AMBIENT_PORTS.outbound);
  return [
    planRule("nat", output, marked, [TCP, mark(RETURN_MARK, MARK_MASK)], ACCEPT),
    ...families.map((family) =>
      planRule("nat", output, local, [oifname("lo"), notToLoopback(family)], ACCEPT, { family }),
    ),
    ...families.map((family) => {
      const matches = [TCP, notToLoopback(family), NOT_FROM_ZTUNNEL];
      return planRule("nat", output, "What the applications send goes to ztunnel", matches, toZtunnel, { family });
    }),
  ];
}

/** L of contract 7.6: the one address of a family that counts as the pod itself. */
function notToLoopback(family: Family): Match {
  return not(destination(LOOPBACK[family]));
}

/** Policy has refused such names already; here they would become words of a rule. */
function checkInterfaceName(name: string): string {
  if (isInterfaceName(name)) return name;
  throw new RangeError(`Cannot capture virtual interface ${quoteText(name)}: it is no interface name`);
}
