// `install-cni status` for people: a head that says how the node is, then one line per pod.

import { type Cell, type Colour, renderAge, renderColumns, renderSpan } from "../text-columns.ts";
import { wordsOfZtunnel } from "./describe-enrolment.ts";
import { wordsOfFinishing } from "./describe-pod.ts";
import { type ProbePathStatus, wordsOfProbePath } from "./describe-probe-path.ts";
import type { CaptureStatus, PodStatus, StatusDocument } from "./status-document.ts";

/** Of the columns of `rowOf()`. */
export const POD_HEADINGS = [
  "NAMESPACE",
  "NAME",
  "MESH",
  "REASON",
  "STATE",
  "MODE",
  "FAMILIES",
  "VERIFIED",
  "REPAIRS",
  "NOTE",
];

const STATE_COLOURS: Readonly<Record<PodStatus["state"], Colour | undefined>> = {
  waiting: "yellow",
  out: undefined,
  refused: "red",
  verified: "green",
  repaired: "yellow",
  uncaptured: "red",
  failed: "red",
  unverifiable: "red",
};

/** Ends with a line break. */
export function renderStatus(status: StatusDocument, { hasColours }: { readonly hasColours: boolean }): string {
  const head = renderColumns(headOf(status), hasColours);
  if (status.pods.length === 0) return head;
  const headings = POD_HEADINGS.map((text): Cell => ({ text, colour: "bold" }));
  const rows = status.pods.map((pod) => rowOf(pod, status.at));
  const more = status.omittedPods === 0 ? "" : `and ${status.omittedPods} more\n`;
  return `${head}\n${renderColumns([headings, ...rows], hasColours)}${more}`;
}

const PROBE_COLOURS: Readonly<Record<ProbePathStatus["verdict"], Colour | undefined>> = {
  untested: undefined,
  "cannot-test": "yellow",
  works: undefined,
  partly: "yellow",
  fails: "red",
};

/** What is said of the node, a name and its words in each row; without a name it goes on with the one above. */
export function headOf(document: StatusDocument): Cell[][] {
  const { agent, conditions, isReady, backend, install, watches, netns, ztunnel, probePaths, summary } = document;
  const unmet = conditions.filter((condition) => !condition.isReady);
  const ready: Cell = isReady ? { text: "ready", colour: "green" } : { text: "not ready", colour: "red" };
  return [
    ["Node", `${agent.node}, ${agent.mode} mode, agent ${agent.version}, up ${renderSpan(agent.uptimeSeconds)}`],
    ["Agent", ready],
    ...unmet.map(({ name, reason }): Cell[] => ["", `${name}: ${reason}`]),
    ["Rules", backend === null ? "not decided yet: no pod needed any" : backend.message],
    [
      "Plugin",
      install.confName === null ? `${install.state}: ${install.reason}` : `${install.state} in ${install.confName}`,
    ],
    ...install.warnings.map((text): Cell[] => ["", { text, colour: "yellow" }]),
    ...(install.rewrites === 0 ? [] : [["", `taken out by another writer and put back ${install.rewrites} times`]]),
    ...(install.fight === null ? [] : [["", wordsOfFight(install.fight)]]),
    ...watches.map((watch): Cell[] => ["Watch", wordsOfWatch(watch)]),
    ...(netns.unavailable === null
      ? []
      : [
          [
            "Pods",
            {
              text: `those that started without the plugin cannot be found: ${netns.unavailable}`,
              colour: "yellow",
            } as const,
          ],
        ]),
    ...(ztunnel === null
      ? []
      : [
          [
            "ztunnel",
            ztunnel.isConnected ? wordsOfZtunnel(ztunnel) : ({ text: wordsOfZtunnel(ztunnel), colour: "red" } as const),
          ],
        ]),
    ...probePaths.map((path): Cell[] => {
      const colour = PROBE_COLOURS[path.verdict];
      return ["Probes", colour === undefined ? wordsOfProbePath(path) : { text: wordsOfProbePath(path), colour }];
    }),
    ["Pods", wordsOfSummary(summary)],
    ...(summary.needAttention === 0
      ? []
      : [["", { text: `${summary.needAttention} of them need attention`, colour: "red" } as const]]),
  ];
}

function wordsOfWatch({
  resource,
  objects,
  isSynced,
  phase,
  failures,
  lastFailure,
  ageSeconds,
}: StatusDocument["watches"][number]) {
  const age = ageSeconds === null ? "" : `, heard of ${renderSpan(ageSeconds)} ago`;
  const trouble = failures === 0 ? "" : `; failed ${failures} times: ${lastFailure ?? phase}`;
  return isSynced ? `${objects} ${resource}${age}${trouble}` : `${resource} not listed yet (${phase})${trouble}`;
}

function wordsOfSummary({ pods, ...counts }: StatusDocument["summary"]): string {
  const { captured, outside, uncaptured, unverified, waiting, refused, bypassed } = counts;
  const parts = Object.entries({ captured, outside, uncaptured, unverified, waiting, refused });
  const words = parts
    .filter(([name, count]) => count > 0 || name === "captured")
    .map(([name, count]) => `${count} ${name}`);
  const past = bypassed === 0 ? "" : `; ${bypassed} with a family that passes by the proxy`;
  return `${pods}: ${words.join(", ")}${past}`;
}

/** One cell for each of POD_HEADINGS. */
export function rowOf(pod: PodStatus, at: string): Cell[] {
  const colour = STATE_COLOURS[pod.state];
  return [
    pod.namespace,
    pod.name,
    pod.decision,
    pod.reason ?? "-",
    colour === undefined ? pod.state : { text: pod.state, colour },
    pod.capture === null ? "-" : modeOf(pod.capture),
    pod.capture === null ? "-" : pod.capture.families.join("+") || "none",
    renderAge(pod.lastVerifiedAt, at),
    String(pod.repairs),
    noteOf(pod, at),
  ];
}

function modeOf(capture: CaptureStatus): string {
  return capture.kind === "ambient" ? "ambient" : capture.mode;
}

/** What a person should know first: why it is not as it should be, else what passes by, else what last happened to it. */
function noteOf(pod: PodStatus, at: string): Cell {
  if (pod.message !== null) return pod.needsAttention ? { text: pod.message, colour: "red" } : pod.message;
  if (pod.bypassed.length > 0) return { text: `${pod.bypassed.join(", ")} passes by the proxy`, colour: "red" };
  const finishing = wordsOfFinishing(pod, at);
  if (finishing !== undefined) return finishing;
  const [first] = pod.lastDrift;
  if (first === undefined) return "";
  const more = pod.lastDriftCount > 1 ? `; and ${pod.lastDriftCount - 1} more` : "";
  return `${renderAge(pod.lastDriftAt, at)}: ${first}${more}`;
}

function wordsOfFight({ conf, writer, policy, advice }: NonNullable<StatusDocument["install"]["fight"]>): Cell {
  const text = `taken out of ${conf} again and again by ${writer}; ${policy}: ${advice}`;
  return { text, colour: "yellow" };
}
