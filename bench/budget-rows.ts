// The rows of DESIGN 3.5 as the page shows them, and what is known of those that are missed. Which figure belongs to
// which row stands where its budget is made.

/** One row: the path, what upstream needs for it (baseline.md), the most we allow ourselves. */
export interface BudgetRow {
  readonly path: string;
  readonly upstream: string;
  readonly atMost: string;
}

export const BUDGET_ROWS = {
  plugin: {
    path: "Plugin process: `DEL`, `CHECK`, `VERSION`, `ADD` of a pod outside the mesh",
    upstream: "29 to 45 ms, 36 to 43 MiB",
    atMost: "an empty static process in the same run + 1 ms; 2 MiB",
  },
  sidecarAdd: {
    path: "`ADD` of a sidecar pod",
    upstream: "109 to 117 ms iptables, 82 ms nftables; 20 and 3 child processes",
    atMost: "1/25 and 1/20, no child process",
  },
  ambientAdd: {
    path: "`ADD` of an ambient pod, ztunnel acknowledging at once",
    upstream: "87 ms iptables, 125 ms nftables; 4 and 9 child processes",
    atMost: "1/20 and 1/25, no child process",
  },
  podStart: {
    path: "Presence in the chain, whole sandbox start",
    upstream: "+44 to +73 ms for a plain pod, +132 ms for a sidecar pod",
    atMost: "+3 ms and +5 ms, paired differences",
  },
  apiRequests: {
    path: "API requests per pod start",
    upstream: "1 to 3, each with a TLS connection of its own",
    atMost: "0 before `ADD` answers",
  },
  memory: {
    path: "Agent: resident and anonymous memory, 0 and 250 pods",
    upstream: "57 to 59 and 11 to 12 MiB; 64 to 67 and 18 to 21 MiB",
    atMost: "resident the same; anonymous 20 and 26 MiB",
  },
  ready: {
    path: "Agent: start to ready",
    upstream: "0.27 s sidecar mode, 0.42 s ambient mode",
    atMost: "the same",
  },
  hostFiles: {
    path: "Files on the host",
    upstream: "55 MB",
    atMost: "0.1 MB",
  },
  upgrade: {
    path: "Agent away during an upgrade",
    upstream: "1.2 to 2.2 s in which pods fail (ambient mode) or start outside the mesh (sidecar mode)",
    atMost: "nothing fails: `ADD` waits",
  },
} as const satisfies Readonly<Record<string, BudgetRow>>;

export type BudgetRowName = keyof typeof BUDGET_ROWS;

/** Why figures miss their budget, and what would close it. By what they are called, so that a run that is kept can be explained
 * when it is over. */
const MISSES: readonly { readonly section: RegExp; readonly name: RegExp; readonly why: string }[] = [
  {
    section: /, ambient mode$/,
    name: /^ADD, pod outside the mesh$/,
    why:
      "labels decide in ambient mode, and no runtime passes labels to plugins: the plugin asks the agent, a round trip to another " +
      "process that has to be woken first. What would close it: a record of decided pods that the plugin reads itself, which " +
      "helps where the agent saw the pod before its ADD.",
  },
  {
    section: /, ambient mode$/,
    name: /^ADD, ambient pod$/,
    why:
      "the pod's rules, and the probe set with ztunnel's word, take about a quarter each on a full node (section 6); " +
      "the rest is the plugin's process, the agent's other work, and waking three processes in turn. What would close it: telling " +
      "ztunnel before the rules are programmed, so that both work at once; where the rules fail then, it has to be told again.",
  },
  {
    section: /memory and idling/,
    name: /^RSS, 250 pods/,
    why:
      "what is over is pages of program files: the anonymous part, the row below, keeps its budget, and the kernel shares such pages " +
      "with every other Node on the machine and takes them back first, so the cgroup's working set is far below. They are touched by " +
      "work: pods of this section run nowhere, and the agent writes an Event for each in those seconds. What would close it: a smaller " +
      "runtime than Node, or dropping its pages after a burst, which costs the next ADD their faults.",
  },
  {
    section: /Pod start/,
    name: /sidecar pod, difference$/,
    why:
      "starts of whole sandboxes differ by tens of milliseconds from one to the next on two processors, more than what is measured; " +
      "our own part is the ADD of section 5. What would close it: more rounds, or a machine with processors to spare.",
  },
  {
    section: /ADDs at once/,
    name: /^ {2}largest meanwhile$/,
    why:
      "the agent gives memory back at rest only (ADR 4), and here one burst follows another: pages of program files and what V8 keeps " +
      "of the garbage of so many ADDs stay meanwhile. Trimming under load would close it, and hold up every pod for 20 ms.",
  },
];

/** Undefined where nobody has said anything. */
export function explainMiss({
  section,
  name,
}: {
  readonly section: string;
  readonly name: string;
}): string | undefined {
  return MISSES.find((miss) => miss.section.test(section) && miss.name.test(name))?.why;
}
