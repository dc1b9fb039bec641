// `install-cni render` for people: for each pod of a manifest what an agent would decide and write.

import { renderRules, rowsOfCapture } from "../status/render-explanation.ts";
import { type Cell, paint, printable, renderColumns } from "../text-columns.ts";
import type { PreviewDocument, PreviewedPodDocument } from "./preview-document.ts";

const VERDICTS = {
  in: { text: "would be in the mesh", colour: "green" },
  out: { text: "would be outside the mesh", colour: "yellow" },
  refused: { text: "would be refused", colour: "red" },
  undecided: { text: "cannot be decided on", colour: "red" },
} as const satisfies Record<PreviewedPodDocument["decision"], Cell>;

/** Ends with a line break. */
export function renderPreview({ pods, others, mode, families }: PreviewDocument, hasColours: boolean): string {
  const assumed = `On a node in ${mode} mode; pods whose status has no address are taken to have ${families.join(" and ")}\n`;
  const rest = others.length === 0 ? [] : [`${printable(`Without pods: ${others.join(", ")}`)}\n`];
  return [assumed, ...pods.map((pod) => renderPod(pod, hasColours)), ...rest].join("\n");
}

function renderPod(pod: PreviewedPodDocument, hasColours: boolean): string {
  const { kind, namespace, name, decision, decisionInWords, rules, routing, capture } = pod;
  const why = decisionInWords === null ? "" : printable(`: ${decisionInWords}`);
  const table = (rows: readonly (readonly Cell[])[]): string =>
    renderColumns(
      rows.map((row) => ["", ...row]),
      hasColours,
    );
  const remarks: (readonly Cell[])[] = [
    ["reason", pod.reason],
    ...(pod.message === null ? [] : [["why", { text: pod.message, colour: "red" } satisfies Cell]]),
    ...(pod.bypassed.length === 0
      ? []
      : [["not captured", { text: pod.bypassed.join(", "), colour: "red" } satisfies Cell]]),
    ...pod.notes.map((note): Cell[] => ["note", note]),
    ...(pod.hint === null ? [] : [["hint", pod.hint]]),
  ];
  return [
    `${printable(`${kind} ${namespace}/${name} `)}${paint(VERDICTS[decision], hasColours)}${why}\n`,
    table(remarks),
    ...(capture === null ? [] : ["\nWhat would be captured\n", table(rowsOfCapture(capture))]),
    ...(rules === null ? [] : [renderRules(rules)]),
    ...(routing.length === 0
      ? []
      : [
          "\nBeside the rules\n",
          ...routing.flatMap(({ command, intent }) => [`  # ${printable(intent)}\n`, `  ${printable(command)}\n`]),
        ]),
  ].join("");
}
