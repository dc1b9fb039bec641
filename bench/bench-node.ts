// What the sections share: a node, the meter, API stand-ins, agents with the moment of their exec, and the conflist
// the runtime uses. The agent works in a configuration folder of its own: so a benchmark may take our entry out of the
// runtime's chain and put it back, between two pod starts, without the agent repairing that.
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestNode } from "../testbed/node/create-node.ts";
import { createNode } from "../testbed/node/create-node.ts";
import { NODE_ADDRESSES, renderPodNetwork } from "../testbed/node/node-network.ts";
import { REPOSITORY } from "../testbed/node/repository.ts";
import { renderUpstreamEntry } from "../testbed/upstream/upstream-entry.ts";
import type { BenchBackend } from "./backends.ts";
import { type Meter, startMeter } from "./meter.ts";
import type { Plan } from "./plan.ts";
import { type StandIn, type StandInSetup, startStandIn } from "./stand-in.ts";
import { sumSizesKib } from "./sum-sizes.ts";
import { adoptUpstream, type Upstream } from "./upstream.ts";

/** Which chain of plugins the runtime runs. */
export type Chain = "bare" | "ours" | "upstream";

export interface Bench extends AsyncDisposable {
  readonly node: TestNode;
  readonly meter: Meter;
  readonly plan: Plan;
  readonly upstream: Upstream | undefined;
  /** For files that live as long as the run. */
  readonly folder: string;
  /** Tells the person at the terminal what is going on. */
  say(text: string): void;
  /** `starting`: its pods have no address yet, as when a runtime makes their sandboxes. */
  startStandIn(pods: StandInSetup["pods"], options?: { readonly starting?: boolean }): Promise<StandIn>;
  /** Makes the runtime use a chain and returns once it does. Writes the file in any case, so that what comes before a
   * pod start is always the same. */
  useChain(chain: Chain, backend?: Pick<BenchBackend, "nativeNftables">): Promise<void>;
  /** The host as before the first start of an agent: its conflist without our entry, no plugin. */
  resetHost(): void;
  /** The entry that the agent has written into its conflist. @throws {Error} when there is none. */
  readOurEntry(): Readonly<Record<string, unknown>>;
  /** What an agent that works in its own configuration folder has put on the host so far: its plugin, what its conflist has
   * grown by, and the files of the run directory. */
  readHostFilesKib(): number;
}

export const PLUGIN_PATH = "/opt/cni/bin/istio-cni";
const UPSTREAM_TYPE = "upstream-istio-cni";
const AGENT_CONF_DIR = "/etc/cni/net.d/agent";
const AGENT_CONFLIST = `${AGENT_CONF_DIR}/10-testbed.conflist`;
const RUN_DIR = "/run/istio-cni";
/** Where the agent's container sees AGENT_CONF_DIR. */
export const AGENT_ENVIRONMENT = { MOUNTED_CNI_NET_DIR: `/host${AGENT_CONF_DIR}` } as const;
export const POD_NAMESPACE = "shop";

/** Sets up the node and what belongs to it; all of it ends with `dispose`. Call `enterNodeNamespaces()` before.
 * @throws {Error} when out/ has not been built. */
export async function createBench(plan: Plan, say: (text: string) => void): Promise<Bench> {
  await using undo = new AsyncDisposableStack();
  // Pods get v4 only: with v6 the bridge plugin waits for duplicate address detection, a second that hides everything.
  const node = undo.use(await createNode({ families: "v4" }));
  const meter = undo.use(startMeter());
  const folder = "/run/bench";
  mkdirSync(folder, { recursive: true });
  undo.defer(() => rmSync(folder, { recursive: true, force: true }));
  const upstream = adoptUpstream(process.env, join(folder, "upstream"));
  if (upstream?.plugin !== undefined) copyFileSync(upstream.plugin, join(node.cniBinDir, UPSTREAM_TYPE));
  const bareConflist = renderPodNetwork("v4", "1.0.0");

  function resetHost(): void {
    rmSync(AGENT_CONF_DIR, { recursive: true, force: true });
    rmSync(PLUGIN_PATH, { force: true });
    mkdirSync(AGENT_CONF_DIR);
    writeFileSync(AGENT_CONFLIST, bareConflist);
  }
  resetHost();

  function readOurEntry(): Readonly<Record<string, unknown>> {
    const entry = parsePlugins(readFileSync(AGENT_CONFLIST, "utf8")).find(({ type }) => type === "istio-cni");
    if (entry === undefined) throw new Error(`Cannot use our plugin: ${AGENT_CONFLIST} has no entry for it`);
    return entry;
  }

  function readHostFilesKib(): number {
    const grown = statSync(AGENT_CONFLIST).size - Buffer.byteLength(bareConflist);
    return sumSizesKib([PLUGIN_PATH, RUN_DIR]) + grown / 1024;
  }

  function renderTheirEntry(nativeNftables: boolean): Readonly<Record<string, unknown>> {
    if (upstream === undefined) throw new Error("Cannot use upstream's plugin: it is not given");
    return renderUpstreamEntry({ type: UPSTREAM_TYPE, runDir: upstream.runDir, nativeNftables });
  }

  async function useChain(chain: Chain, backend?: Pick<BenchBackend, "nativeNftables">): Promise<void> {
    const entry = {
      bare: () => [],
      ours: () => [readOurEntry()],
      upstream: () => [renderTheirEntry(backend?.nativeNftables ?? false)],
    }[chain]();
    const conflist = JSON.parse(bareConflist) as { plugins: unknown[] };
    const text = JSON.stringify({ ...conflist, plugins: [...conflist.plugins, ...entry] }, null, 2);
    writeFileSync(`${node.conflistPath}.new`, text);
    renameSync(`${node.conflistPath}.new`, node.conflistPath);
    const last = entry[0]?.["type"] ?? "portmap";
    await node.waitForPlugins((types) => types.at(-1) === last);
  }

  const lasting = undo.move();
  return {
    node,
    meter,
    plan,
    upstream,
    folder,
    say,
    startStandIn: (pods, { starting = false } = {}) =>
      startStandIn({ host: NODE_ADDRESSES.v4, nodeName: node.name, namespace: POD_NAMESPACE, pods, starting }),
    useChain,
    resetHost,
    readOurEntry,
    readHostFilesKib,
    [Symbol.asyncDispose]: () => lasting.disposeAsync(),
  };
}

/** What is measured: the build in out/. */
export const OURS = {
  installCni: join(REPOSITORY, "out/bin/install-cni"),
  istioCni: join(REPOSITORY, "out/bin/istio-cni"),
  node: join(REPOSITORY, "out/lib/istio-install-cni/node"),
} as const;

function parsePlugins(text: string): readonly Readonly<Record<string, unknown>>[] {
  const { plugins } = JSON.parse(text) as { plugins: readonly Readonly<Record<string, unknown>>[] };
  return plugins;
}
