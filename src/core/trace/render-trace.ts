// `install-cni trace` for people: the packet, where it ends and why, and every rule it met on the way.

import { type Cell, type Colour, paint, printable, renderColumns } from "../text-columns.ts";
import type { TraceDocument } from "./trace-document.ts";

const COLOURS: Readonly<Record<TraceDocument["verdict"], Colour>> = {
  redirected: "green",
  passed: "yellow",
  dropped: "red",
  unknown: "red",
};

/** Ends with a line break. */
export function renderTrace(document: TraceDocument, hasColours: boolean): string {
  const { packet, verdict, port, how, explanation, mark } = document;
  const text = port === null ? verdict : `${verdict} to ${port}${how === "TPROXY" ? " by TPROXY" : ""}`;
  const title: Cell = { text, colour: COLOURS[verdict] };
  const head = renderColumns(
    [
      ["Pod", `${document.pod.namespace}/${document.pod.name}, network namespace ${document.netns.inode}`],
      ["Packet", packetOf(packet)],
      ...(packet.direction === "outbound" ? [["Sent", senderOf(packet)]] : []),
      ["Verdict", title],
      ["", explanation],
      ...(mark === packet.mark ? [] : [["Mark", `0x${mark.toString(16)} at the end`]]),
    ],
    hasColours,
  );
  return `${head}\n${renderSteps(document, hasColours)}`;
}

function packetOf({ family, protocol, direction, interface: by, ...packet }: TraceDocument["packet"]): string {
  const end = (address: string, port: number): string =>
    family === "ipv6" ? `[${address}]:${port}` : `${address}:${port}`;
  const from = end(packet.source, packet.sourcePort);
  const to = end(packet.destination, packet.destinationPort);
  const way = by === null ? "" : `, ${direction === "inbound" ? "in" : "out"} by ${by}`;
  return `${family} ${protocol} ${from} -> ${to}${way}, the first of its connection`;
}

function senderOf({ uid, gid, mark }: TraceDocument["packet"]): string {
  const marked = mark === 0 ? "" : `, with mark 0x${mark.toString(16)}`;
  return `by a process of user ${uid ?? "-"} and group ${gid ?? "-"}${marked}`;
}

function renderSteps({ steps, omittedSteps, verdict }: TraceDocument, hasColours: boolean): string {
  if (steps.length === 0) return "No rule matched it.\n";
  const title = verdict === "unknown" ? "Rules that matched before that" : "Rules that matched, in order";
  const lines = steps.flatMap(({ family, table, chain, rule, meaning, isWanted }) => {
    const text = rule === null ? chain : rule.startsWith("-A ") ? rule : `${chain}  ${rule}`;
    const why: Cell = isWanted ? meaning : { text: meaning, colour: "yellow" };
    return [`  # ${paint(why, hasColours)}`, `  ${printable(`${family} ${table}  ${text}`)}`];
  });
  const more = omittedSteps === 0 ? [] : [`  and ${omittedSteps} more`];
  return [title, ...lines, ...more].map((line) => `${line}\n`).join("");
}
