// `install-cni explain` for people: the decision and what led to it, what should be captured, what was found.

import { type Cell, printable, renderAge, renderColumns } from "../text-columns.ts";
import { wordsOfFinishing } from "./describe-pod.ts";
import type { CaptureStatus, PodExplanation, PodStatus } from "./status-document.ts";

export interface ExplanationOptions {
  readonly hasColours: boolean;
  /** The rules, one by one. */
  readonly withRules: boolean;
}

const DECIDED_BY: Readonly<Record<NonNullable<PodStatus["decidedBy"]>, string>> = {
  add: "at the ADD of its sandbox; later changes of its annotations do not count",
  annotations: "from its annotations as an agent first saw them",
  labels: "by its labels and those of its namespace, as they are now",
};

/** Ends with a line break. */
export function renderExplanation(explanation: PodExplanation, { hasColours, withRules }: ExplanationOptions): string {
  const { pod, inputs, decisionInWords, rules } = explanation;
  const section = (title: string, rows: readonly (readonly Cell[])[]): string =>
    `\n${title}\n${renderColumns(
      rows.map((row) => ["", ...row]),
      hasColours,
    )}`;
  const why = decisionInWords === null ? "" : `: ${decisionInWords}`;
  const parts = [
    `${printable(`${pod.namespace}/${pod.name} is ${verdictOf(pod)}${why}`)}\n`,
    section("Decision", [
      ["decided", pod.decidedBy === null ? "not yet" : DECIDED_BY[pod.decidedBy]],
      ["reason", pod.reason ?? "-"],
      ["uid", pod.uid],
      [
        "sandbox",
        pod.sandbox === null ? "nothing is kept of its ADD" : `${pod.sandbox.containerId} in ${pod.sandbox.tookMs} ms`,
      ],
    ]),
    section(
      "What the policy reads",
      inputs.map(({ name, value }) => [name, value ?? "-"]),
    ),
    ...(pod.ambient === null ? [] : [section("Ambient mode", rowsOfEnrolment(pod.ambient, explanation.at))]),
    ...(pod.capture === null ? [] : [section("What should be captured", rowsOfCapture(pod.capture))]),
    section("What was found", rowsOfState(pod, explanation.at)),
    section("What the kernel holds now", rowsOfLive(explanation.live)),
    ...(rules === null
      ? []
      : [
          withRules
            ? renderRules(rules)
            : `\nRules: ${rules.list.length + rules.omitted} in ${printable(rules.dialect)}; --rules shows them\n`,
        ]),
  ];
  return parts.join("");
}

function rowsOfEnrolment(ambient: NonNullable<PodStatus["ambient"]>, at: string): Cell[][] {
  const { state, since, waits, failedStep, message } = ambient;
  return [
    ["state", failedStep === null ? state : { text: state, colour: "red" }],
    ["since", renderAge(since, at)],
    ...(waits === null ? [] : [["waits for", waits]]),
    ...(failedStep === null ? [] : [[`${failedStep} failed`, message ?? "-"]]),
    ["rules", ambient.rules],
    ["ztunnel", ambient.ztunnel],
    ["probes of the node", ambient.probes],
    ["annotation", ambient.annotation],
  ];
}

function verdictOf({ decision }: PodStatus): string {
  if (decision === "in") return "in the mesh";
  if (decision === "out") return "outside the mesh";
  return decision === "refused" ? "refused" : "not decided on yet";
}

function rowsOfState(pod: PodStatus, at: string): Cell[][] {
  const finishing = wordsOfFinishing(pod, at);
  return [
    ["state", pod.needsAttention ? { text: pod.state, colour: "red" } : pod.state],
    ...(pod.message === null ? [] : [["why", pod.message]]),
    ...(pod.reason === "bad-annotation" ? [["next", "correct the annotation and make the pod anew"]] : []),
    ...(finishing === undefined ? [] : [["connections", finishing]]),
    ["last verified", renderAge(pod.lastVerifiedAt, at)],
    [
      "changes",
      pod.isMonitored ? "told by the kernel" : pod.state === "out" ? "not looked for" : "found by the timer only",
    ],
    [
      "network namespace",
      pod.netns === null
        ? pod.state === "out"
          ? "not needed"
          : "not known"
        : `${pod.netns.inode} (${SOURCES[pod.netns.source]})`,
    ],
    ...(pod.bypassed.length === 0
      ? []
      : [["passes by", { text: pod.bypassed.join(", "), colour: "red" } satisfies Cell]]),
    ["repairs", String(pod.repairs)],
    ...pod.lastDrift.map((sentence, index): Cell[] => [
      index === 0 ? `drift ${renderAge(pod.lastDriftAt, at)}` : "",
      sentence,
    ]),
    ...(pod.lastDriftCount > pod.lastDrift.length
      ? [["", `and ${pod.lastDriftCount - pod.lastDrift.length} more`]]
      : []),
  ];
}

function rowsOfLive({ state, drift, driftCount, holdsMeshRules, message }: PodExplanation["live"]): Cell[][] {
  if (state === "as-wanted") return [["difference", "none: all that should be there is there"]];
  if (state === "unknown") return [["not known", { text: message ?? "-", colour: "yellow" }]];
  if (state === "nothing-wanted") {
    return [
      [
        "difference",
        holdsMeshRules === true ? RULES_OF_NOBODY : "none: no rule of a mesh is there, and none should be",
      ],
    ];
  }
  return [
    ...drift.map((sentence, index): Cell[] => [index === 0 ? "difference" : "", { text: sentence, colour: "red" }]),
    ...(driftCount > drift.length ? [["", `and ${driftCount - drift.length} more`]] : []),
  ];
}

const RULES_OF_NOBODY = "rules of a mesh are there that this agent does not look after, such as those of istio-init";

const SOURCES: Readonly<Record<NonNullable<PodStatus["netns"]>["source"], string>> = {
  add: "given by the runtime",
  uid: "found by the pod's UID",
  ip: "found by the pod's address",
};

/** What a capture is, as name and value. */
export function rowsOfCapture(capture: CaptureStatus): Cell[][] {
  const families = ["families", capture.families.join(", ") || "none"];
  const abridged = capture.isAbridged ? [["", "some of these lists are longer"]] : [];
  if (capture.kind === "ambient") {
    return [
      ["mode", "ambient"],
      families,
      ["inbound", capture.captureInbound ? "to ztunnel" : "to the application, past ztunnel"],
      ["DNS", yesNo(capture.dnsCapture)],
      ["virtual interfaces", capture.virtualInterfaces.join(", ") || "none"],
      ["probes come from", capture.probeSources.join(", ")],
      ...abridged,
    ];
  }
  const { outboundPorts } = capture;
  return [
    ["mode", capture.mode],
    families,
    ["inbound ports", wordsOf(capture.inboundPorts)],
    ["outbound ranges", wordsOf(capture.outboundRanges)],
    [
      "outbound ports",
      [
        `all of these ranges${outboundPorts.exclude.length === 0 ? "" : ` but ${outboundPorts.exclude.join(", ")}`}`,
        ...(outboundPorts.include.length === 0 ? [] : [`${outboundPorts.include.join(", ")} of any range`]),
      ].join("; "),
    ],
    ["of groups", wordsOf(capture.ownerGroups)],
    ["excluded interfaces", capture.excludeInterfaces.join(", ") || "none"],
    ["virtual interfaces", capture.virtualInterfaces.join(", ") || "none"],
    ["proxy runs as", `user ${capture.proxyUids.join(", ")}, group ${capture.proxyGids.join(", ")}`],
    ["DNS", yesNo(capture.dnsCapture)],
    ["drops invalid", yesNo(capture.dropInvalid)],
    ["the pod itself", capture.loopbackRange],
    ...abridged,
  ];
}

/** `exclude` means something only beside "all" or a list. */
function wordsOf({ include, exclude }: { readonly include: readonly string[]; readonly exclude: readonly string[] }) {
  if (include.length === 0) return "none";
  const all = include.length === 1 && include[0] === "*";
  const but = exclude.length === 0 ? "" : ` but ${exclude.join(", ")}`;
  return `${all ? "all" : include.join(", ")}${but}`;
}

/** What each is for, above it, as iptables-restore and nft take comments. */
export function renderRules({ dialect, list, omitted }: NonNullable<PodExplanation["rules"]>): string {
  const lines = list.flatMap(({ family, table, chain, rule, intent }) => [
    `  # ${intent}`,
    // iptables' rules name their chain themselves.
    `  ${family} ${table}  ${rule.startsWith("-A ") ? rule : `${chain}  ${rule}`}`,
  ]);
  const more = omitted === 0 ? [] : [`  and ${omitted} more`];
  return `\n${[`Rules (${dialect})`, ...lines, ...more].map((line) => `${printable(line)}\n`).join("")}`;
}

function yesNo(flag: boolean): string {
  return flag ? "yes" : "no";
}
