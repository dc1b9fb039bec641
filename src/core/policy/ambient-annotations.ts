// Reads the options of an ambient pod out of its annotations (contract 7.3). What cannot be read is ignored, as upstream
// ignores it, and told: a pod that asks for less capture than it can name stays captured.

import { GO_BOOLEAN_ACCEPTED, parseGoBoolean } from "../go-boolean.ts";
import type { AmbientCapture } from "../rules/ambient-capture.ts";
import { INTERFACE_NAME_ACCEPTED, isInterfaceName } from "../rules/interface-name.ts";
import { quoteText } from "../short-text.ts";

/** The annotations that change what is captured, spelled as istio.io/api spells them. */
export const AMBIENT_ANNOTATIONS = {
  bypassInbound: "ambient.istio.io/bypass-inbound-capture",
  dnsCapture: "ambient.istio.io/dns-capture",
  virtualInterfaces: "istio.io/reroute-virtual-interfaces",
} as const;

/** What the annotations say, and a sentence for each value that says nothing. */
export type AmbientPodOptions = Pick<AmbientCapture, "captureInbound" | "captureDns" | "virtualInterfaces"> & {
  readonly hints: readonly string[];
};

/** Every interface is four rules; a node's bridge has not so many guests. */
const MAX_INTERFACES = 64;

type Annotations = Readonly<Record<string, string>>;

/** @param dnsCapture `AMBIENT_DNS_CAPTURE`, which the annotation overrides either way. */
export function parseAmbientAnnotations(annotations: Annotations, dnsCapture: boolean): AmbientPodOptions {
  const hints: string[] = [];
  return {
    captureInbound: !(readBoolean(annotations, AMBIENT_ANNOTATIONS.bypassInbound, hints) ?? false),
    captureDns: readBoolean(annotations, AMBIENT_ANNOTATIONS.dnsCapture, hints) ?? dnsCapture,
    virtualInterfaces: readInterfaces(annotations, hints),
    hints,
  };
}

function readBoolean(annotations: Annotations, name: string, hints: string[]): boolean | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const value = parseGoBoolean(text);
  if (value === undefined)
    hints.push(`Ignored annotation ${name}: it is ${quoteText(text)}; accepted: ${GO_BOOLEAN_ACCEPTED}`);
  return value;
}

/** Names that no rule may have are dropped one by one: the others are right (CVE-2026-23766). */
function readInterfaces(annotations: Annotations, hints: string[]): string[] {
  const name = AMBIENT_ANNOTATIONS.virtualInterfaces;
  const text = annotations[name] ?? "";
  const entries = [...new Set(text.split(",").map((entry) => entry.trim()))].filter((entry) => entry !== "");
  const bad = entries.filter((entry) => !isInterfaceName(entry));
  if (bad.length > 0) {
    const others = bad.length > 1 ? ` and ${bad.length - 1} more` : "";
    hints.push(
      `Ignored in annotation ${name}: ${quoteText(bad[0] ?? "")}${others} cannot name an interface; accepted: ${INTERFACE_NAME_ACCEPTED}`,
    );
  }
  const good = entries.filter(isInterfaceName);
  if (good.length > MAX_INTERFACES)
    hints.push(
      `Ignored in annotation ${name}: all but the first ${MAX_INTERFACES} of ${good.length} interfaces; accepted: ${MAX_INTERFACES} at most`,
    );
  return good.slice(0, MAX_INTERFACES);
}
