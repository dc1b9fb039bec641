/** Targets: what pods and operators say about capture (core/policy). */

import { SelectorError } from "../../../src/core/kube/label-selector.ts";
import { parsePod } from "../../../src/core/kube/pod.ts";
import { AMBIENT_ANNOTATIONS, parseAmbientAnnotations } from "../../../src/core/policy/ambient-annotations.ts";
import { redirectionOf } from "../../../src/core/policy/ambient-redirection.ts";
import {
  matchEnablement,
  parseEnablementSelectors,
  renderEnablementSelectors,
} from "../../../src/core/policy/enablement-selectors.ts";
import { parsePodSelectors } from "../../../src/core/policy/repair-selectors.ts";
import {
  AnnotationError,
  CAPTURE_ANNOTATIONS,
  MAX_LIST_ENTRIES,
  parseCaptureAnnotations,
} from "../../../src/core/policy/sidecar-annotations.ts";
import { isInterfaceName } from "../../../src/core/rules/interface-name.ts";
import { LegacySaveError, parseLegacySave } from "../../../src/core/rules/parse-legacy-save.ts";
import { renderIptablesRule } from "../../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../../src/core/rules/sidecar.ts";
import { SIDECAR_CASES } from "../../sidecar/sidecar-cases.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";

/** Annotations as the API gives them: an object of texts. Anything else is no input of these readers. */
function annotationsOf(input: Uint8Array): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = Object.create(null);
  try {
    const value: unknown = JSON.parse(textOf(input));
    for (const [key, text] of Object.entries(value ?? {})) if (typeof text === "string") annotations[key] = text;
  } catch {
    // No object: no annotations.
  }
  return annotations;
}

const annotations = createTarget(
  {
    name: "annotations",
    parsers: [
      "core/policy/sidecar-annotations.ts",
      "core/policy/ambient-annotations.ts",
      "core/policy/ambient-redirection.ts",
      "core/go-boolean.ts",
    ],
    mutators: [mutateJson],
    words: [
      ...Object.values(CAPTURE_ANNOTATIONS),
      ...Object.values(AMBIENT_ANNOTATIONS),
      "ambient.istio.io/redirection",
      "TPROXY",
      "NONE",
      "*",
      "80,443",
      "65535",
      "10.0.0.0/8",
      "::/0",
      "eth0",
      "a".repeat(16),
      "1,".repeat(1025),
    ],
    seeds: [
      Object.fromEntries(Object.values(CAPTURE_ANNOTATIONS).map((name) => [name, "*"])),
      {
        [CAPTURE_ANNOTATIONS.includeOutboundIpRanges]: "10.0.0.0/8, fd00::/8",
        [CAPTURE_ANNOTATIONS.excludeInboundPorts]: "80,90",
        [CAPTURE_ANNOTATIONS.kubevirtInterfaces]: "net1",
      },
      {
        [AMBIENT_ANNOTATIONS.bypassInbound]: "true",
        [AMBIENT_ANNOTATIONS.dnsCapture]: "0",
        [AMBIENT_ANNOTATIONS.virtualInterfaces]: "a0,b1",
      },
    ].map((value) => bytesOf(JSON.stringify(value))),
  },
  [AnnotationError],
  (input) => {
    const given = annotationsOf(input);
    const ambient = parseAmbientAnnotations(given, false);
    holds(
      ambient.hints.every((hint) => hint.length < 1000),
      "Hints are short",
    );
    holds(ambient.virtualInterfaces.every(isInterfaceName), "Interfaces are names of interfaces");
    redirectionOf(given);
    const capture = parseCaptureAnnotations(given);
    const lists = [
      capture.inboundPorts.include,
      capture.inboundPorts.exclude,
      capture.outboundPorts.include,
      capture.outboundPorts.exclude,
    ];
    for (const ports of lists) {
      if (ports === "*") continue;
      holds(ports.length <= MAX_LIST_ENTRIES + 8, "Lists are bounded");
      holds(
        ports.every((port) => Number.isInteger(port) && port >= 0 && port <= 0xffff),
        "Ports are ports",
      );
    }
    holds(
      [...capture.excludeInterfaces, ...capture.rerouteVirtualInterfaces].every(isInterfaceName),
      "Interfaces are names of interfaces",
    );
    return { capture, ambient };
  },
);

const ENABLEMENT = `- podSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
- namespaceSelector: {matchLabels: {istio.io/dataplane-mode: ambient}}
  podSelector:
    matchExpressions:
    - {key: istio.io/dataplane-mode, operator: NotIn, values: [none]}
`;

const enablement = createTarget(
  {
    name: "enablement-selectors",
    parsers: ["core/policy/enablement-selectors.ts", "core/kube/label-selector.ts"],
    mutators: [mutateText, mutateJson],
    words: [
      "podSelector",
      "namespaceSelector",
      "matchLabels",
      "matchExpressions",
      "key",
      "operator",
      "values",
      "In",
      "NotIn",
      "Exists",
      "DoesNotExist",
      "- ",
      ": ",
      "{",
      "}",
      "[",
      "]",
      "a/b",
      "\n",
      "__proto__",
    ],
    seeds: [bytesOf(ENABLEMENT), bytesOf('[{"podSelector":{"matchLabels":{"a":"b"}}}]')],
  },
  [SelectorError],
  (input) => {
    const read = parseEnablementSelectors(textOf(input));
    holds(read.warnings.join("").length <= 100_000, "Warnings are bounded");
    const again = parseEnablementSelectors(renderEnablementSelectors(read));
    holds(renderEnablementSelectors(again) === renderEnablementSelectors(read), "What is written reads back");
    matchEnablement(read, { a: "b" }, { "istio.io/dataplane-mode": "ambient" });
    return read;
  },
);

const POD = parsePod({ metadata: { uid: "u", namespace: "n", name: "p", resourceVersion: "1", labels: { a: "1" } } });

const repair = createTarget(
  {
    name: "repair-selectors",
    parsers: ["core/policy/repair-selectors.ts"],
    mutators: [mutateText],
    words: [
      "=",
      "==",
      "!=",
      "!",
      " in (",
      " notin (",
      ")",
      ",",
      ">",
      "<",
      "\\",
      "metadata.name",
      "spec.nodeName",
      "status.phase",
      "|",
      "a/b",
    ],
    seeds: [
      "a=b,c!=d,!e,f in (g,h),i notin (j),k>1|metadata.name=x,status.phase!=Running",
      "|",
      "a|spec.nodeName=a\\,b",
    ].map(bytesOf),
  },
  [SelectorError],
  (input) => {
    const [labels = "", fields = ""] = textOf(input).split("|");
    return parsePodSelectors({ labels, fields })(POD);
  },
);

/** What iptables-legacy-save prints for our own rules of one family. */
function legacySave(family: 4 | 6): string {
  return Object.values(SIDECAR_CASES)
    .flatMap((capture) => sidecarRules(capture))
    .filter((ruleset) => ruleset.family === family)
    .flatMap(({ tables }) => tables)
    .map(({ name, chains }) =>
      [
        `*${name}`,
        ...chains.map((chain) => `:${chain.name} ${chain.kind === "base" ? "ACCEPT" : "-"} [0:0]`),
        ...chains.flatMap((chain) => chain.rules.map((rule) => renderIptablesRule(chain.name, rule, family))),
        "COMMIT\n",
      ].join("\n"),
    )
    .slice(0, 6)
    .join("");
}

const legacy = createTarget(
  {
    name: "legacy-save",
    parsers: ["core/rules/parse-legacy-save.ts"],
    mutators: [mutateText],
    words: [
      "*nat",
      "COMMIT",
      ":X - [0:0]",
      "-A PREROUTING ",
      "-j RETURN",
      "-j TPROXY --on-port 1 --tproxy-mark 0x1/0x1",
      "-m mark --mark 0x1/0xfff",
      "! ",
      "-s 10.0.0.1/32",
      "-d ::1/128",
      "-p tcp",
      "-m multiport --dports 1,2",
      "-m conntrack --ctstate NEW",
      "-m owner --uid-owner 1337",
      "-m set --match-set a src",
      "-j SNAT --to-source 1.2.3.4",
      "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
      "-j CT --zone 1",
      "-o lo",
      "#",
    ],
    seeds: [
      bytesOf(legacySave(4)),
      bytesOf(legacySave(6)),
      bytesOf("*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j RETURN\nCOMMIT\n"),
    ],
  },
  [LegacySaveError],
  (input) => {
    const text = textOf(input);
    const read = parseLegacySave(text, text.includes("::") ? 6 : 4);
    const opaque = read.tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
    for (const rule of opaque)
      holds(rule.verdict.kind === "opaque" || text.includes(rule.line), "A rule is a line that was there");
    return read;
  },
);

export const POLICY_TARGETS: readonly FuzzTarget[] = [annotations, enablement, repair, legacy];
