// What is compared where ADD is measured: a node's agent with one way to write rules, whose plugins are called, and for
// which pods. Responsible for the calls and for undoing them; measuring is add-singles.ts's and add-burst.ts's.
import type { TestNetns } from "../testbed/netns.ts";
import { renderUpstreamEntry } from "../testbed/upstream/upstream-entry.ts";
import type { BenchBackend } from "./backends.ts";
import { type Bench, PLUGIN_PATH } from "./bench-node.ts";
import type { Budget } from "./budget.ts";
import type { BudgetRowName } from "./budget-rows.ts";
import type { MeasuredAgent } from "./measured-agent.ts";
import { createPodNetns, type RenderedCall, renderPluginCall } from "./plugin-call.ts";
import type { StandIn } from "./stand-in.ts";
import { writeUpstreamKubeconfig } from "./upstream.ts";

/** Whose plugin is called. */
export interface Side {
  readonly who: "ours" | "upstream";
  readonly program: string;
  readonly entry: Readonly<Record<string, unknown>>;
  /** Each has an API of its own, so that the requests of one are not counted as the other's. */
  readonly api: StandIn;
}

/** A kind of pod. */
export interface AddKind {
  /** The stand-in's name for it. */
  readonly pods: "plain" | "sidecar" | "ambient";
  /** For people. */
  readonly text: string;
  /** The row of DESIGN 3.5 that its budgets belong to. */
  readonly row: BudgetRowName;
  /** Its namespace is changed, so each ADD needs a fresh one. */
  readonly isCaptured: boolean;
  /** After its DEL the pod is deleted, and the next ADD is another pod's: what is done to a pod's object afterwards is done
   * every time. */
  readonly livesOnce?: boolean;
  /** Of the agent's work, so long after its answer still counts as the ADD's. */
  readonly afterwardsMs?: number;
  /** Given an empty process of the same run, and upstream's median where it was measured. */
  budget(floorMs: number, upstreamMs: number | undefined): Budget | undefined;
  /** Upstream's in the baseline. */
  readonly baseline?: { readonly wallMs: number; readonly cpuMs: number; readonly executions: number };
  /** Programs that may be executed for one ADD. */
  readonly mostExecutions?: number;
}

export interface AddContest {
  readonly bench: Bench;
  /** "iptables-nft", ...: what the sections' titles end with. */
  readonly title: string;
  readonly agent: MeasuredAgent;
  readonly sides: readonly Side[];
  readonly kinds: readonly AddKind[];
  /** Requests that are known to come after the answer, as "verb resource". */
  readonly afterwards?: readonly string[];
  /** Upstream's requests per ADD in the baseline; sidecar mode's unless told. */
  readonly baselineRequests?: number;
  /** Namespaces live as long as the contest: the kernel takes them down in the background, which would disturb. */
  readonly netnses: DisposableStack;
}

/** Ours, and upstream where it is given: its plugin needs no agent in sidecar mode. Call after our agent is ready. */
export function prepareSides(
  bench: Bench,
  { nativeNftables }: Pick<BenchBackend, "nativeNftables">,
  api: StandIn,
  upstreamApi: StandIn | undefined,
): Side[] {
  const ours: Side = { who: "ours", program: PLUGIN_PATH, entry: bench.readOurEntry(), api };
  const { upstream } = bench;
  if (upstream?.plugin === undefined || upstreamApi === undefined) return [ours];
  writeUpstreamKubeconfig(upstream, upstreamApi.kubeconfig);
  const entry = renderUpstreamEntry({ runDir: upstream.runDir, nativeNftables });
  return [ours, { who: "upstream", program: upstream.plugin, entry, api: upstreamApi }];
}

/** One ADD that is ready to be made, and its DEL. */
export interface PreparedAdd {
  readonly add: RenderedCall;
  /** Not for upstream: its DEL does nothing. */
  readonly undo: RenderedCall | undefined;
}

/** Of the pod of that number, in a namespace of its own where the kind needs one. */
export function prepareAdd(contest: AddContest, side: Side, kind: AddKind, index: number): PreparedAdd {
  const { bench, netnses } = contest;
  const { program, entry, api } = side;
  const pod = api.pod(`${kind.pods}-${index}`);
  const netns = kind.isCaptured ? netnses.use(createPodNetns("dual", pod.ips)) : sharedNetns(contest);
  const call = { program, entry, pod, netns };
  const add = renderPluginCall(bench, { ...call, command: "ADD" });
  const { containerId } = add;
  const undo = side.who === "ours" ? renderPluginCall(bench, { ...call, command: "DEL", containerId }) : undefined;
  return { add, undo };
}

/** After the DELs of the pods of these numbers. */
export async function endPods({ api }: Side, kind: AddKind, indices: readonly number[]): Promise<void> {
  if (kind.livesOnce === true) await api.renew(indices.map((index) => `${kind.pods}-${index}`));
}

const shared = new WeakMap<AddContest, TestNetns>();

/** Nobody changes it. */
function sharedNetns(contest: AddContest): TestNetns {
  const netns = shared.get(contest) ?? contest.netnses.use(createPodNetns("dual"));
  shared.set(contest, netns);
  return netns;
}
