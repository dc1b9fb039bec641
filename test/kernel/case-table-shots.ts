// Packets of the case tables: a probe with its addresses, where the tracer sees it land, and where the kernel let it land.
import assert from "node:assert/strict";
import { type Family, parseIpAddress } from "../../src/core/address.ts";
import type { Packet } from "../../src/core/rules/match-packet.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { trace } from "../../src/core/rules/tracer.ts";
import { type Landing, LOOPBACK_PLACES, PLACES, type Place, type Probe } from "./case-table-probes.ts";
import type { Question } from "./case-table-stage.ts";

/** A probe with its addresses, ready to be traced and sent. */
export interface Shot {
  readonly name: string;
  readonly packet: Packet;
  readonly direction: "inbound" | "outbound";
  readonly question: Question;
  readonly expected: Landing;
}

/** A probe's packet and question, as `user` from `sourcePort`. */
export function aim(
  probe: Omit<Probe, "lands">,
  user: Question["user"],
  family: Family,
  sourcePort: number,
): Omit<Shot, "name" | "expected"> {
  const destination = address(probe.to, family);
  const isOutbound = probe.from === "pod";
  const source = address(probe.source ?? usualSource(probe, family), family);
  return {
    direction: isOutbound ? "outbound" : "inbound",
    packet: {
      protocol: probe.protocol === "udp" ? "udp" : "tcp",
      source: parseIpAddress(source) ?? assert.fail(source),
      destination: parseIpAddress(destination) ?? assert.fail(destination),
      sport: sourcePort,
      dport: probe.port,
      interface: interfaceOf(probe),
      mark: probe.mark ?? 0,
      ...(isOutbound ? { owner: user } : {}),
      ...(probe.protocol === "invalid" ? { ctstate: "INVALID" } : {}),
    },
    question: {
      from: probe.from,
      protocol: probe.protocol,
      user,
      source: probe.source === undefined ? undefined : source,
      sourcePort,
      mark: probe.mark ?? 0,
      destination,
      port: probe.port,
    },
  };
}

/** What routing chooses. */
function usualSource({ from, to }: Pick<Probe, "from" | "to">, family: Family): Place {
  if (from === "guest") return "guest";
  if (from === "peer") return to === "pod's eth1" ? "peer's eth1" : "peer";
  if (LOOPBACK_PLACES.includes(to)) return family === 4 ? "loopback" : to;
  if (to === "peer's eth1") return "pod's eth1";
  return "pod";
}

/** By which interface of the pod a packet comes or goes. */
function interfaceOf({ from, to }: Pick<Probe, "from" | "to">): string {
  if (from === "guest") return "vnet0";
  if (to === "pod's eth1" || to === "peer's eth1") return "eth1";
  return from === "pod" && (to === "pod" || LOOPBACK_PLACES.includes(to)) ? "lo" : "eth0";
}

function address(place: Place, family: Family): string {
  return PLACES[place][family] ?? assert.fail(`${place} has no IPv${family} address`);
}

/** Where the tracer sees it land. */
export function tracedLanding(rulesets: readonly Ruleset[], { packet, direction }: Shot): string {
  const { end } = trace(rulesets, packet, direction);
  if (end.kind === "dropped") return "dropped";
  // Whoever gets an invalid packet resets it.
  if (packet.ctstate === "INVALID") return "reset";
  return end.kind === "untouched" ? "direct" : String(end.port);
}

/** Who answered; anything but the very destination that was asked is told in full. */
export function answeredLanding({ destination, port, protocol }: Question, answer: string): string {
  const asked = destination.includes(":") ? `[${destination}]:${port}` : `${destination}:${port}`;
  if (answer === `answered direct ${port}`) return "direct";
  const captured = /^answered captured (\d+)(?: orig=(\S+))?$/.exec(answer);
  if (captured?.[1] !== undefined && captured[2] === (protocol === "udp" ? undefined : asked)) return captured[1];
  return answer;
}

/** @throws {AssertionError} that names every shot that landed elsewhere. */
export function assertLandings(
  shots: readonly Shot[],
  landingOf: (shot: Shot, index: number) => string,
  who: string,
): void {
  const [seen, expected] = [shots.map(landingOf), shots.map((shot) => shot.expected)];
  const lines = (landings: readonly string[]): string[] =>
    landings.flatMap((landing, index) => (seen[index] === expected[index] ? [] : `${shots[index]?.name}: ${landing}`));
  assert.deepEqual(lines(seen), lines(expected), `${who} sends packets elsewhere`);
}
