// The pods of the ambient case table: every label, annotation and agent option that decides what is captured, in every
// combination, as words of Kubernetes. What they should come to is written from contract 7.1 to 7.3 by hand.
import { parsePod } from "../../src/core/kube/pod.ts";
import { AMBIENT_ANNOTATIONS } from "../../src/core/policy/ambient-annotations.ts";
import { type AmbientPlan, decideAmbient } from "../../src/core/policy/ambient-decision.ts";
import { parseEnablementSelectors } from "../../src/core/policy/enablement-selectors.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { AMBIENT_CASES } from "../../testbed/ambient/ambient-cases.ts";
import type { Effect } from "./case-table-ambient-probes.ts";

type Words = Readonly<Record<string, string>>;

export interface AmbientCase {
  readonly name: string;
  readonly namespaceLabels: Words;
  readonly podLabels?: Words;
  readonly annotations?: Words;
  /** `AMBIENT_DNS_CAPTURE` of the agent. */
  readonly agentDns?: true;
  /** Undefined: the pod is not in the mesh. */
  readonly effects: readonly Effect[] | undefined;
}

const MODE = "istio.io/dataplane-mode";
const AMBIENT = { [MODE]: "ambient" };
/** The chart's default (contract 7.1). */
const SELECTORS = parseEnablementSelectors(
  JSON.stringify([
    { podSelector: { matchLabels: AMBIENT } },
    {
      podSelector: { matchExpressions: [{ key: MODE, operator: "NotIn", values: ["none"] }] },
      namespaceSelector: { matchLabels: AMBIENT },
    },
  ]),
);
const NAME = AMBIENT_ANNOTATIONS;
const BYPASS = { [NAME.bypassInbound]: "true" };
const DNS = { [NAME.dnsCapture]: "true" };
const REROUTE = { [NAME.virtualInterfaces]: "vnet0, k6t-eth0.1" };
const REROUTE_ONE = { [NAME.virtualInterfaces]: "vnet0" };

/** One for each thing a pod's rules can be: the table goes from each of them to each other, in place. */
export const AMBIENT_POD_CASES: readonly AmbientCase[] = [
  { name: "out of the mesh", namespaceLabels: {}, effects: undefined },
  inMesh("default", [], {}),
  inMesh("bypass", ["bypass"], BYPASS),
  inMesh("dns", ["dns"], DNS),
  inMesh("interfaces", ["reroute"], REROUTE),
  inMesh("bypass-dns", ["bypass", "dns"], { ...BYPASS, ...DNS }),
  inMesh("bypass-interfaces", ["bypass", "reroute"], { ...BYPASS, ...REROUTE_ONE }),
  inMesh("all", ["dns", "reroute"], { ...DNS, ...REROUTE_ONE }),
  inMesh("all-bypass", ["bypass", "dns", "reroute"], { ...BYPASS, ...DNS, ...REROUTE_ONE }),
];

/** Other words for the same rules, and whose rules they are. */
export const AMBIENT_TWINS: readonly { readonly of: string; readonly twin: AmbientCase }[] = [
  twin("default", { namespaceLabels: {}, podLabels: AMBIENT, effects: [] }),
  twin("default", {
    namespaceLabels: AMBIENT,
    annotations: { [NAME.dnsCapture]: "false" },
    agentDns: true,
    effects: [],
  }),
  twin("default", { namespaceLabels: AMBIENT, annotations: { [NAME.bypassInbound]: "false" }, effects: [] }),
  twin("default", { namespaceLabels: AMBIENT, annotations: { [NAME.bypassInbound]: "yes please" }, effects: [] }),
  twin("default", { namespaceLabels: AMBIENT, annotations: { [NAME.virtualInterfaces]: " , " }, effects: [] }),
  twin("dns", { namespaceLabels: AMBIENT, agentDns: true, effects: ["dns"] }),
  twin("dns", { namespaceLabels: AMBIENT, annotations: { [NAME.dnsCapture]: "1" }, effects: ["dns"] }),
  twin("bypass", { namespaceLabels: AMBIENT, annotations: { [NAME.bypassInbound]: "T" }, effects: ["bypass"] }),
  twin("interfaces", {
    namespaceLabels: AMBIENT,
    // A name that would be more than a name in a rule is left out (CVE-2026-23766).
    annotations: { [NAME.virtualInterfaces]: "vnet0,eth0 -j ACCEPT,k6t-eth0.1" },
    effects: ["reroute"],
  }),
  twin("out of the mesh", { namespaceLabels: AMBIENT, podLabels: { [MODE]: "none" }, effects: undefined }),
  twin("out of the mesh", {
    namespaceLabels: AMBIENT,
    annotations: { "sidecar.istio.io/status": "{}" },
    effects: undefined,
  }),
];

/** The file of testdata/ambient that holds the rules of a case. */
export function goldenName({ name }: AmbientCase): string {
  if (AMBIENT_CASES[name] === undefined) throw new TypeError(`Cannot find the golden text of ${name}`);
  return name;
}

/** What the agent decides for the case's pod, families left open; undefined: it is not in the mesh. */
export function planOfCase({
  namespaceLabels,
  podLabels,
  annotations,
  agentDns,
}: AmbientCase): AmbientPlan | undefined {
  const pod = parsePod({
    metadata: { uid: "1", namespace: "shop", name: "cart", resourceVersion: "1", labels: podLabels, annotations },
    spec: { containers: [{ name: "app" }] },
  });
  const decision = decideAmbient(
    pod,
    { labels: namespaceLabels },
    {
      selectors: SELECTORS,
      excludedNamespaces: ["kube-system"],
      agentNamespace: "istio-system",
      systemNamespace: "istio-system",
      dnsCapture: agentDns === true,
      probeSource: DEFAULT_PROBE_SOURCE,
    },
  );
  if (decision.kind === "unknown") throw new Error("Cannot decide: the namespace is known");
  return decision.kind === "in" ? decision.plan : undefined;
}

function inMesh(name: string, effects: readonly Effect[], annotations: Words): AmbientCase {
  return { name, namespaceLabels: AMBIENT, annotations, effects };
}

function twin(of: string, words: Omit<AmbientCase, "name">) {
  const { effects: _, ...said } = words;
  return { of, twin: { name: `${of}: ${JSON.stringify(said)}`, ...words } };
}
