// Where a CPU profile of V8 says that the time went. Pure.

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  /** Of nodes, one for each sample. */
  readonly samples: readonly number[];
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[];
}

export interface ProfiledFunction {
  /** "name file:line"; V8's own in parentheses. */
  readonly name: string;
  readonly selfMs: number;
  /** With what it called; a recursion counts once. */
  readonly totalMs: number;
}

/** The functions that take most themselves, at most `most`. */
export function busiestFunctions({ nodes, samples, timeDeltas }: CpuProfile, most: number): ProfiledFunction[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const totals = new Map<string, { selfMs: number; totalMs: number }>();
  const add = (name: string, self: number, total: number): void => {
    const { selfMs, totalMs } = totals.get(name) ?? { selfMs: 0, totalMs: 0 };
    totals.set(name, { selfMs: selfMs + self, totalMs: totalMs + total });
  };
  for (const [index, sample] of samples.entries()) {
    const ms = (timeDeltas[index] ?? 0) / 1000;
    add(names.get(sample) ?? "?", ms, 0);
    const stack = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) stack.add(names.get(id) ?? "?");
    for (const name of stack) add(name, 0, ms);
  }
  return [...totals]
    .map(([name, times]) => ({ name, ...times }))
    .toSorted((a, b) => b.selfMs - a.selfMs)
    .slice(0, most);
}

function nameOf({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  return url === "" ? name : `${name} ${url.split("/").at(-1)}:${lineNumber + 1}`;
}
