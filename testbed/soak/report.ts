// The figures of a soak as a table of Markdown, and what was wrong with it. Pure.
import type { SoakResult } from "./run-soak.ts";

/** Anonymous memory that an agent may have more after the second part than before it: what its heap keeps until it has to collect.
 * A leak of a kilobyte for each pod is beyond it within the hour. */
const MEMORY_GROWTH_MIB = 24;

/** Empty: the soak is passed. */
export function findFaults({ ledger, leftovers, descriptors, memory }: SoakResult): readonly string[] {
  const grown = memory.afterMib - memory.beforeMib;
  return [
    ...ledger.breaches,
    ...leftovers.map((line) => `left over: ${line}`),
    ...descriptors.map((line) => `the agent still has open: ${line}`),
    ...(grown > MEMORY_GROWTH_MIB
      ? [
          `the agent's memory grew by ${grown.toFixed(1)} MiB over ${memory.pods} pods: at most ${MEMORY_GROWTH_MIB} are accepted`,
        ]
      : []),
  ];
}

export function renderFigures({ ledger, leftovers, descriptors, memory, seconds }: SoakResult): string {
  const counts = [...ledger.counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const pods = counts.filter(([what]) => what.endsWith(" pods started"));
  const started = pods.reduce((sum, [, count]) => sum + count, 0);
  const faults = counts.filter(([what]) => what.startsWith("fault "));
  const rows: (readonly [string, string])[] = [
    ["time", `${(seconds / 60).toFixed(1)} min`],
    ["pods", `${started} (${pods.map(([what, count]) => `${count} ${what.replace(" pods started", "")}`).join(", ")})`],
    ["pods a second", (started / seconds).toFixed(2)],
    ["faults", `${faults.reduce((sum, [, count]) => sum + count, 0)}`],
    ...faults.map(([what, count]) => [what, String(count)] as const),
    ...counts
      .filter(([what]) => !what.endsWith(" pods started") && !what.startsWith("fault "))
      .map(([what, count]) => [what, String(count)] as const),
    ...[...ledger.samples].map(([what, values]) => [what, describeMs(values)] as const),
    ...[...new Set(ledger.exposures.map(({ why, kind }) => `${why}, ${kind}`))].map((of) => {
      const ms = ledger.exposures.filter(({ why, kind }) => `${why}, ${kind}` === of).map((exposure) => exposure.ms);
      return [`past the proxy for a while: ${of}`, `${ms.length} pods, ${describeMs(ms)}`] as const;
    }),
    ["not as it should be", String(ledger.breaches.length)],
    [
      "agent's anonymous memory",
      `${memory.beforeMib.toFixed(1)} MiB, ${memory.pods} pods later ${memory.afterMib.toFixed(1)} MiB`,
    ],
    ["agent's descriptors more than before", String(descriptors.length)],
    ["left over on the node", String(leftovers.length)],
  ];
  return ["| what | |", "| --- | --- |", ...rows.map(([what, value]) => `| ${what} | ${value} |`)].join("\n");
}

function describeMs(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(0);
  return `median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`;
}
