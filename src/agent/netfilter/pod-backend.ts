// Brings the namespace of one pod, sidecar or ambient, to what it should hold, in the dialect of this node, whatever it held before:
// nothing, our rules, upstream's, those of another dialect. New rules stand before old ones go (ADR 0006; what two sets
// do to each other meanwhile: core/policy/backend-switch.ts). A state in between is a captured pod too, so an agent that
// dies there leaves work, not damage.
import type { IpAddress } from "../../core/address.ts";
import { isEmptyNetwork } from "../../core/netlink/pod-network.ts";
import { isSameNetns, type NetnsId } from "../../core/netns/netns-id.ts";
import { type BackendDecision, dialectForPod, explainUnsupported } from "../../core/policy/backend-decision.ts";
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import { besideAnother, disturbsAnother, joinRulesets } from "../../core/policy/backend-switch.ts";
import { isOurChain, isOurTable } from "../../core/rules/compare.ts";
import { describeDrift } from "../../core/rules/drift.ts";
import type { Chain, PodNetwork, Rule, Ruleset } from "../../core/rules/model.ts";
import { largestCapture, type PodCapture, podNetwork, ROUTING_OF_CAPTURES } from "../../core/rules/pod-capture.ts";
import { createNetnsQueue } from "./netns-queue.ts";
import type { NfTablesStore } from "./nf-tables-store.ts";
import { createPodRouting, describeRoutingDrift, isInPlace, type PodRoutingDeps } from "./pod-routing.ts";
import { countProxiedConnections } from "./proxied-connections.ts";
import { NetfilterError, type RuleStore } from "./rule-store.ts";
import { throwAll } from "./throw-all.ts";

export interface PodBackendDeps extends PodRoutingDeps {
  readonly stores: {
    readonly "iptables-nft": NfTablesStore;
    readonly nftables: NfTablesStore;
    readonly "iptables-legacy": RuleStore;
  };
  netnsId(netnsFd: number): NetnsId;
  /** Whether the namespace belongs to a user namespace of the pod's own; undefined where the kernel does not tell. */
  belongsToOtherUsers(netnsFd: number): boolean | undefined;
  /** Names of the legacy tables of a namespace, without making any. */
  legacyTables(netnsFd: number): Readonly<Record<4 | 6, readonly string[]>>;
}

export interface PodBackendOptions {
  readonly decision: BackendDecision;
  /** Namespaces that are no pod's: the node's and the agent's. */
  readonly forbidden: readonly NetnsId[];
}

/** What is known of the pod beside its capture. */
export interface BackendPod {
  /** `spec.hostUsers`; false: the pod asked for a user namespace of its own. What the namespace itself tells wins. */
  readonly hostUsers?: boolean;
  /** What was applied to this namespace before, where that is known: then all that is missing was taken away. */
  readonly formerly?: PodCapture;
}

/** What was done. */
export interface Applied {
  readonly dialect: BackendDialect;
  readonly changed: boolean;
  /** Dialects whose rules of ours were there and are gone. */
  readonly replaced: readonly BackendDialect[];
  /** What was found different, one sentence each, in a namespace that holds something of ours or was captured `formerly`. */
  readonly repaired: readonly string[];
}

/** What is left of a redirection that was let go. */
export interface Released {
  /** New connections were redirected until now: some may be on their way that nobody has accepted yet. */
  readonly changed: boolean;
  /** Connections that the proxy has not finished; undefined: this kernel does not tell. */
  readonly connections: number | undefined;
}

export type PodBackend = ReturnType<typeof createPodBackend>;

export function createPodBackend(deps: PodBackendDeps, options: PodBackendOptions) {
  const { stores } = deps;
  const routing = createPodRouting(deps);
  const inTurn = createNetnsQueue(deps.netnsId);

  return {
    decision: options.decision,

    /** The addresses in the namespace, in the kernel's order. */
    addresses: (netnsFd: number): readonly IpAddress[] => routing.addresses(netnsFd),

    /** Whether `lo` is switched on. */
    isLoopbackUp: (netnsFd: number): boolean => routing.isLoopbackUp(netnsFd),

    /**
     * Makes the namespace hold exactly this capture; other people's rules stay. Applying again changes nothing. Calls for
     * one namespace are carried out one after the other; `netnsFd` has to stay open until then.
     * @throws {NetfilterError} this node cannot; {KernelRefusalError} or {ExecError} naming what was refused.
     */
    apply: (netnsFd: number, capture: PodCapture, pod: BackendPod = {}): Promise<Applied> =>
      inTurn(netnsFd, () => apply(netnsFd, capture, asSeen(netnsFd, pod))),

    /** What differs from this capture, one sentence each; empty exactly when `apply` would change nothing. Writes nothing. */
    drift: (netnsFd: number, capture: PodCapture, pod: BackendPod = {}): Promise<readonly string[]> =>
      inTurn(netnsFd, () => drift(netnsFd, capture, asSeen(netnsFd, pod))),

    /** All that differs from this capture is what the kernel took away when `lo` was switched off, and `lo` is off: as a rule
     * somebody has begun to take the sandbox apart. */
    differsByLoopback: (netnsFd: number, capture: PodCapture, pod: BackendPod = {}): Promise<boolean> =>
      inTurn(netnsFd, () => differsByLoopback(netnsFd, capture, asSeen(netnsFd, pod))),

    /**
     * Lets a running pod go, in every dialect: new connections pass by the proxy from now on, those that it has go on. What
     * they need stays, until `remove`; `apply` makes it a whole capture again.
     */
    release: (netnsFd: number): Promise<Released> => inTurn(netnsFd, () => release(netnsFd)),

    /**
     * Takes everything of ours out of the namespace, in every dialect; tables that are empty then go too, where the kernel
     * lets go of tables (iptables legacy keeps them until the namespace ends). Connections that were redirected end with it:
     * nobody translates them any more (see `release`). False: there was nothing.
     */
    remove: (netnsFd: number, capture: PodCapture, pod: BackendPod = {}): Promise<boolean> =>
      inTurn(netnsFd, () => remove(netnsFd, capture, asSeen(netnsFd, pod))),

    /**
     * The same for a sandbox that is just being made, where an ADD that nobody answered may have left something: one message
     * where nobody ever wrote rules.
     */
    clear: (netnsFd: number, capture: PodCapture): Promise<boolean> =>
      inTurn(netnsFd, async () => (isUntouched(netnsFd) ? false : remove(netnsFd, capture, asSeen(netnsFd, {})))),

    /** True for the node's own namespace, or the agent's. */
    isForbidden(netnsFd: number): boolean {
      const netns = deps.netnsId(netnsFd);
      return options.forbidden.some((other) => isSameNetns(other, netns));
    },
  };

  function asSeen(netnsFd: number, pod: BackendPod): BackendPod {
    const hasOwnUsers = deps.belongsToOtherUsers(netnsFd);
    return hasOwnUsers === undefined ? pod : { ...pod, hostUsers: !hasOwnUsers };
  }

  async function apply(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<Applied> {
    const store = await storeFor(netnsFd, capture, pod);
    const { dialect } = store;
    const desired = store.rulesFor(capture);
    const network = podNetwork(capture);
    // What marks lead to stands before there are marks, and goes after them.
    const missing = routing.ensure(netnsFd, network);
    if (dialect !== "iptables-legacy" && !hasLegacyTables(netnsFd) && stores[dialect].create(netnsFd, desired)) {
      return { dialect, changed: true, replaced: [], repaired: [] };
    }
    const { surplus } = routing.drift(netnsFd, network, ROUTING_OF_CAPTURES);
    const unrouted = { missing, surplus };
    const { own, others } = await look(netnsFd, store);
    const steps = store.difference(own, desired, known(store, capture, pod));
    const wasCaptured = own.some(isOurs) || (pod.formerly !== undefined && others.length === 0);
    const repaired = wasCaptured ? [...describeDrift(steps), ...describeRoutingDrift(unrouted)] : [];
    let changed = true;
    if (others.length === 0) changed = await store.converge(netnsFd, desired, known(store, capture, pod));
    else await moveOver(netnsFd, store, others, capture, pod);
    routing.remove(netnsFd, surplus);
    const replaced = others.map((other) => other.dialect);
    return { dialect, changed: changed || !isInPlace(unrouted), replaced, repaired };
  }

  /** From the dialects in `others` to `store`, without a moment in which nothing stands. */
  async function moveOver(
    netnsFd: number,
    store: RuleStore,
    others: readonly RuleStore[],
    capture: PodCapture,
    pod: BackendPod,
  ): Promise<void> {
    const desired = store.rulesFor(capture);
    const disturbs = disturbsAnother(desired);
    if (disturbs && pod.hostUsers === false) {
      // The kernel lets us delete the owner matches of another user namespace, not write them, so the other set cannot be
      // made fit to stay: for about a millisecond nothing stands.
      for (const other of others) await other.converge(netnsFd, [], known(other, capture, pod));
      await store.converge(netnsFd, desired, known(store, capture, pod));
      return;
    }
    if (disturbs) {
      for (const other of others) {
        const beside = besideAnother(other.rulesFor(capture));
        await other.converge(netnsFd, beside, known(other, capture, pod));
      }
    }
    await store.converge(netnsFd, disturbs ? besideAnother(desired) : desired, known(store, capture, pod));
    for (const other of others) await other.converge(netnsFd, [], known(other, capture, pod));
    if (disturbs) await store.converge(netnsFd, desired, known(store, capture, pod));
  }

  async function drift(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<readonly string[]> {
    return [
      ...(await driftOfRules(netnsFd, capture, pod)),
      ...describeRoutingDrift(routing.drift(netnsFd, podNetwork(capture), ROUTING_OF_CAPTURES)),
    ];
  }

  async function driftOfRules(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<readonly string[]> {
    const store = await storeFor(netnsFd, capture, pod);
    const { own, others } = await look(netnsFd, store);
    return [
      ...describeDrift(store.difference(own, store.rulesFor(capture), known(store, capture, pod))),
      ...others.map(({ dialect }) => `rules of ${dialect} stand beside those of ${store.dialect}`),
    ];
  }

  async function differsByLoopback(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<boolean> {
    return !routing.isLoopbackUp(netnsFd) && (await driftOfRules(netnsFd, capture, pod)).length === 0;
  }

  /** Goes on whatever dialect fails, as `remove` does: a rule that stays there captures, and those of the others need not. */
  async function release(netnsFd: number): Promise<Released> {
    const failures: unknown[] = [];
    const changed = await inEach(netnsFd, (store) => store.detach(netnsFd), failures);
    throwAll(failures, "let the pod go");
    return { changed, connections: countProxiedConnections(deps.openNetlink, netnsFd) };
  }

  /** Goes on to the end whatever fails on the way, so that a retry has less to do and not more (D12, D13). */
  async function remove(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<boolean> {
    const failures: unknown[] = [];
    let changed = await inEach(netnsFd, (store) => store.converge(netnsFd, [], known(store, capture, pod)), failures);
    try {
      const { addresses } = podNetwork(largestCapture(capture));
      const { surplus } = routing.drift(netnsFd, NO_NETWORK, { ...ROUTING_OF_CAPTURES, addresses });
      routing.remove(netnsFd, surplus);
      changed = changed || !isEmptyNetwork(surplus);
    } catch (error) {
      failures.push(error);
    }
    throwAll(failures, "remove the redirection of the pod");
    return changed;
  }

  /** Acts in every dialect in use, also after one that fails, which goes to `failures`; whether any changed something. */
  async function inEach(
    netnsFd: number,
    act: (store: RuleStore) => boolean | Promise<boolean>,
    failures: unknown[],
  ): Promise<boolean> {
    let changed = false;
    for (const store of inUse(netnsFd)) {
      try {
        changed = (await act(store)) || changed;
      } catch (error) {
        failures.push(error);
      }
    }
    return changed;
  }

  /** The dialect for this pod; throws where this node has none that can write the capture. */
  async function storeFor(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<RuleStore> {
    const writable = dialectForPod(options.decision, pod, capture.mode);
    if (writable === undefined) {
      const state = "it has a user namespace of its own (hostUsers: false), and that needs nf_tables on this node";
      throw new NetfilterError("unsupported", `Cannot capture the pod: ${state}`);
    }
    if (writable.dialect !== "iptables-legacy" && !options.decision.nfTables) {
      throw new NetfilterError("unsupported", "Cannot capture the pod: this node's kernel has no nf_tables");
    }
    const why = explainUnsupported(writable, capture);
    if (why !== undefined) throw new NetfilterError("unsupported", `Cannot capture the pod: ${why}`);
    // Upstream enters the user namespace and writes what the rest of the node has; where that is right, it stays.
    const usual = stores[options.decision.dialect];
    if (writable.dialect === usual.dialect || usual.dialect === "iptables-legacy") return stores[writable.dialect];
    const held = await usual.read(netnsFd);
    const steps = usual.difference(held, usual.rulesFor(capture), known(usual, capture, pod));
    const stands = held.some(isOurs) && steps.length === 0;
    return stands ? usual : stores[writable.dialect];
  }

  /** What stands in the store's dialect, and which other dialects hold something of ours. */
  async function look(netnsFd: number, store: RuleStore): Promise<{ own: readonly Ruleset[]; others: RuleStore[] }> {
    const own = await store.read(netnsFd);
    const others: RuleStore[] = [];
    for (const other of inUse(netnsFd)) {
      if (other !== store && (await other.read(netnsFd)).some(isOurs)) others.push(other);
    }
    return { own, others };
  }

  /** The dialects that may hold something in this namespace. */
  function inUse(netnsFd: number): RuleStore[] {
    return [
      ...(options.decision.nfTables ? [stores["iptables-nft"], stores.nftables] : []),
      ...(hasLegacyTables(netnsFd) ? [stores["iptables-legacy"]] : []),
    ];
  }

  function isUntouched(netnsFd: number): boolean {
    return (!options.decision.nfTables || stores["iptables-nft"].isUntouched(netnsFd)) && !hasLegacyTables(netnsFd);
  }

  /** Whether there may be legacy rules that we can look at. An empty table is no reason to refuse a pod where we cannot. The
   * programs are looked for last: a namespace has no such table but seldom. */
  function hasLegacyTables(netnsFd: number): boolean {
    const tables = deps.legacyTables(netnsFd);
    return tables[4].length + tables[6].length > 0 && stores["iptables-legacy"].isAvailable();
  }
}

/** Every rule that can be ours in this dialect: of this capture, of what was before, of either interception mode (the marks
 * of TPROXY are in no chain of ours), and of the moment between two dialects. */
function known(store: RuleStore, capture: PodCapture, { formerly }: BackendPod): Ruleset[] {
  const largest = store.rulesFor(largestCapture(capture));
  return joinRulesets([
    store.rulesFor(capture),
    largest,
    besideAnother(largest),
    ...(formerly === undefined ? [] : [store.rulesFor(formerly)]),
  ]);
}

/** Whether a ruleset holds anything of ours. */
function isOurs({ tables }: Ruleset): boolean {
  return tables.some(({ name, chains }) => isOurTable(name) || chains.some(isOurChainOrJump));
}

const NO_NETWORK: PodNetwork = { addresses: [], policyRules: [], routes: [] };

function isOurChainOrJump(chain: Chain): boolean {
  if (chain.kind === "own" && isOurChain(chain.name)) return true;
  return chain.rules.some(({ verdict }: Rule) => verdict.kind === "jump" && isOurChain(verdict.chain));
}
