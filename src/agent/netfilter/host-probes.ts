// Lets the kubelet's probes into the ambient pods of this node: in the node's own network namespace a set of their addresses
// for each family, and the rule that gives what processes of the node send there a source that the pods' rules let pass
// (contract 7.8). In the node's one dialect; what upstream, or this agent before a change of dialect, left in another one
// goes when ours stands (surprise 4: the rule twice). Everything else in that namespace is other people's and stays.
//
// Level-triggered: what should be there is kept here, what is there is asked of the kernel. Rules are looked after by one at a
// time; addresses go in and out in between, at once and in the order they are told in, because a pod that starts does not wait
// for a program of iptables legacy. Not here: when to look (host-probes-keeper.ts), which pods there are.
import { FAMILIES, type Family, formatIp, type IpAddress, isSameIp, unmapIp } from "../../core/address.ts";
import { messageOf } from "../../core/error-message.ts";
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import { addressesInUse } from "../../core/policy/capture-families.ts";
import { type AmbientHost, ambientHostInetRules, ambientHostRules } from "../../core/rules/ambient-host.ts";
import { PROBE_SETS } from "../../core/rules/ambient-numbers.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import { createBranchRouting } from "./branch-routing.ts";
import { createIpsetUpkeep, NOTHING_MADE } from "./host-ipset-upkeep.ts";
import { createHostIpsets, type IpsetDeps } from "./host-ipsets.ts";
import { createHostLegacy, type HostLegacyDeps } from "./host-legacy.ts";
import { createHostIptablesNft, createHostNftables } from "./host-nf-tables.ts";
import type { HostRuleStore } from "./host-rule-store.ts";
import { createLastingNetlink } from "./lasting-netlink.ts";
import { createNetnsQueue } from "./netns-queue.ts";
import { createProbeOwners } from "./probe-owners.ts";
import type { ProbeEntry, ProbeSets } from "./probe-sets.ts";
import { throwAll } from "./throw-all.ts";

export interface HostProbesDeps extends IpsetDeps, HostLegacyDeps {}

export interface HostProbesOptions {
  /** The node's own network namespace; has to stay open. */
  readonly netnsFd: number;
  /** How rules are written here: `decideHostDialect` of core/policy. */
  readonly dialect: BackendDialect;
  /** Whether nf_tables answers on this node. */
  readonly nfTables: boolean;
  readonly host: AmbientHost;
  /** The real user id of the kubelet, for the native dialect. Asked at each look. */
  kubeletUid(): number;
  /** Pods of this node may have branch network interfaces, and probes are led to them (contract 7.9): the operator has not
   * switched it off, and `net.ipv4.tcp_early_demux` is 0, which AWS asks for on such nodes. @default false */
  readonly hasBranchInterfaces?: boolean;
}

/** What `ensure` did. */
export interface HostEnsured {
  readonly changed: boolean;
  /** What was found different, one sentence each, where something of ours stood or should have. */
  readonly repaired: readonly string[];
  /** Dialects whose rules of ours were there and are gone. */
  readonly replaced: readonly BackendDialect[];
  /** What is not as it should be and cannot be changed from here, one sentence each. */
  readonly notes: readonly string[];
  /** Rules of others stand before ours. */
  readonly isBehind: boolean;
}

export type HostProbes = ReturnType<typeof createHostProbes>;

const BRANCHES_AMISS = "the rules that lead probes to branch network interfaces are not as they should be";

/** A UID goes beside each address; the kernel's comments end at 127 characters in nf_tables. */
const POD_UID = /^[-.\w]{1,127}$/;

/** To be disposed of; whatever is asked of it afterwards fails, and what stands stays. */
export function createHostProbes({ openNetlink, ...node }: HostProbesDeps, options: HostProbesOptions) {
  const { netnsFd, dialect, host } = options;
  const sockets = createLastingNetlink(openNetlink, netnsFd);
  const deps = { ...node, openNetlink: sockets.open };
  const ipsets = createHostIpsets(deps, netnsFd, sockets.settle);
  const nftables = createHostNftables(deps, netnsFd);
  const legacy = createHostLegacy(deps, netnsFd);
  const iptablesNft = createHostIptablesNft(deps, netnsFd, ipsets.numbers);
  const stores: Readonly<Record<BackendDialect, HostRuleStore>> = {
    "iptables-nft": iptablesNft,
    nftables,
    "iptables-legacy": legacy,
  };
  const store = stores[dialect];
  const sets: ProbeSets = dialect === "nftables" ? nftables : ipsets;
  const wanted = FAMILIES.filter((family) => host.families[`v${family}`]);
  const ipsetUpkeep = createIpsetUpkeep({
    ipsets,
    used: dialect === "nftables" ? [] : wanted,
    store,
    others: () =>
      [...(options.nfTables ? [iptablesNft] : []), ...(legacy.mayHold() ? [legacy] : [])].filter(
        (one) => one !== store,
      ),
  });
  const branches = options.hasBranchInterfaces === true ? createBranchRouting(deps.openNetlink, netnsFd) : undefined;
  const owners = createProbeOwners();
  const queue = createNetnsQueue(() => ({ dev: 0n, ino: 0n }));
  const inTurn = <T>(action: () => Promise<T>): Promise<T> => queue(netnsFd, action);
  let isEstablished = false;

  return {
    dialect,

    /**
     * Makes sets, addresses and rule stand, and takes away what of ours stands in another dialect. Again: changes nothing.
     * `mayMove` (default true): our jump is put before rules of others where it is not.
     * @throws {NetfilterError} where others stand in the way; {KernelRefusalError}, {ExecError}, or AggregateError of them. What
     * could be done is done.
     */
    ensure: (move: { readonly mayMove?: boolean } = {}): Promise<HostEnsured> =>
      inTurn(() => ensure(move.mayMove ?? true)),

    /**
     * This pod has these addresses, and no others. No address: nothing is known, nothing changes. An address another pod had
     * is this one's from now on (D33). Addresses of a family that is not captured are `skipped` (surprise 8), and so are those
     * by which no pod is reached: with 127.0.0.1 in the set, the node's own connections to itself would get the probe source.
     * @throws {RangeError} for a UID that cannot be written; otherwise as `ensure`. What was told stays told.
     */
    async put(podUid: string, ips: readonly IpAddress[]): Promise<{ readonly skipped: readonly IpAddress[] }> {
      checkUid(podUid);
      const taken = addressesInUse(ips).filter(({ family }) => wanted.includes(family));
      if (taken.length > 0) await tell(podUid, taken);
      return { skipped: ips.map(unmapIp).filter((ip) => !taken.some((other) => isSameIp(ip, other))) };
    },

    /** Takes out whatever stands under this UID, whatever addresses the pod had (D11): what it was told to have, or an agent
     * before this one put there, at once; what others have put there since, with the next `ensure`. False: nothing stood.
     * @throws as `ensure` */
    async remove(podUid: string): Promise<boolean> {
      const known = owners.addressesOf(podUid);
      owners.forget(podUid);
      // Before the first look nobody knows what an agent before this one left.
      const gone = isEstablished
        ? known
        : held()
            .filter((entry) => entry.podUid === podUid)
            .map(addressOf);
      write([], gone);
      steer();
      return gone.length > 0;
    },

    /** The addresses that stand under this UID. */
    listed: async (podUid: string): Promise<readonly IpAddress[]> =>
      held()
        .filter((entry) => entry.podUid === podUid)
        .map(addressOf),

    /** Every UID under which an address stands. */
    uids: async (): Promise<ReadonlySet<string>> =>
      new Set(held().flatMap(({ podUid }) => (podUid === "" ? [] : [podUid]))),

    /**
     * The pods of this node with their addresses. What they lack is put in; `isComplete` says that there are no other pods,
     * and only then is anything taken out that is not theirs. A pod without addresses keeps what stands under its UID.
     * @throws {RangeError} for a UID that cannot be written; otherwise as `ensure`
     */
    async converge(
      pods: ReadonlyMap<string, readonly IpAddress[]>,
      { isComplete }: { readonly isComplete: boolean },
    ): Promise<{ readonly put: number; readonly removed: number }> {
      const all = new Map([...pods].map(([podUid, ips]) => [podUid, addressesInUse(ips)]));
      for (const podUid of all.keys()) checkUid(podUid);
      // Told now, not in turn: what is told of a pod in between is newer than this list.
      owners.tellAll(all, isComplete);
      if (wanted.some((family) => sets.read(family) === undefined)) await inTurn(() => ensure(false));
      const standing = held();
      const put = missing(standing);
      const gone = standing.filter(({ ip, podUid }) => {
        if (owners.ownerOf(ip) !== undefined) return false;
        const told = all.get(podUid);
        return told === undefined ? isComplete : told.length > 0;
      });
      write(put, gone.map(addressOf));
      steer();
      return { put: put.length, removed: gone.length };
    },

    /** What differs, one sentence each. Writes nothing. */
    drift: (): Promise<readonly string[]> => inTurn(drift),

    /**
     * Takes everything of ours away, in every dialect: ambient mode was switched off, or the product goes. Rules of others
     * stay, and a set that they look into stays, empty. False: there was nothing. What was told before is forgotten. Whoever
     * keeps the rules (host-probes-keeper.ts) has to have ended.
     * @throws as `ensure`
     */
    removeAll: (): Promise<boolean> => inTurn(removeAll),

    /** Whether this generation of nf_tables is nothing but addresses that were put or removed here. */
    isOwnGeneration: (generation: number): boolean => nftables.isOwnGeneration(generation),

    [Symbol.dispose]: (): void => sockets[Symbol.dispose](),
  };

  async function tell(podUid: string, taken: readonly IpAddress[]): Promise<void> {
    const left = owners.addressesOf(podUid);
    owners.tell(podUid, taken);
    const isGone = (ip: IpAddress): boolean => owners.ownerOf(ip) === undefined;
    const put = taken.map((ip) => ({ ip, podUid }));
    try {
      write(put, left.filter(isGone));
    } catch {
      // There is no set, or not as it has to be: then all of it is looked at, and what is told by then is put in.
      await inTurn(() => ensure(false));
      write([], left.filter(isGone));
    }
    steer();
  }

  function desired(): readonly Ruleset[] {
    return dialect === "nftables" ? ambientHostInetRules(host, options.kubeletUid()) : ambientHostRules(host);
  }

  /** What stands in our sets. */
  function held(): ProbeEntry[] {
    return wanted.flatMap((family) => sets.read(family) ?? []);
  }

  function missing(standing: readonly ProbeEntry[]): ProbeEntry[] {
    const uidOf = new Map(standing.map(({ ip, podUid }) => [formatIp(ip), podUid]));
    return wanted
      .flatMap((family) => owners.entries(family))
      .filter(({ ip, podUid }) => uidOf.get(formatIp(ip)) !== podUid);
  }

  function write(put: readonly ProbeEntry[], gone: readonly IpAddress[]): void {
    for (const family of wanted) {
      const [added, removed] = [
        put.filter(({ ip }) => ip.family === family),
        gone.filter((ip) => ip.family === family),
      ];
      if (added.length + removed.length > 0) sets.write(family, added, removed);
    }
  }

  /** Dialects beside ours that may hold something. */
  function others(): HostRuleStore[] {
    return [...(options.nfTables ? [iptablesNft, nftables] : []), ...(legacy.mayHold() ? [legacy] : [])].filter(
      (other) => other !== store,
    );
  }

  async function ensure(mayMove: boolean): Promise<HostEnsured> {
    const failures: unknown[] = [];
    const attempt = async <T>(action: () => T | Promise<T>): Promise<T | undefined> => {
      try {
        return await action();
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    };
    const made = (await attempt(() => ipsetUpkeep.make(desired(), failures))) ?? NOTHING_MADE;
    const rules = desired().filter(({ family }) => family === "inet" || !made.without.includes(family));
    const found = await attempt(() => store.converge(rules, { mayMove }));
    const before = made.before ?? found;
    const sentences = [...made.sentences, ...(before?.isChange === true ? before.sentences : [])];
    sentences.push(...((await attempt(fill)) ?? []));
    const replaced: BackendDialect[] = [];
    const notes = steer(sentences);
    // What stands in another dialect serves until ours does.
    if (failures.length === 0) {
      for (const other of others()) {
        if ((await attempt(() => other.converge([], { mayMove })))?.wasThere) replaced.push(other.dialect);
      }
      notes.push(...((await attempt(ipsetUpkeep.dropUnused)) ?? []));
    }
    throwAll(failures, "let probes of the node into pods");
    const wasExpected = isEstablished || before?.wasThere === true;
    isEstablished = true;
    return {
      changed: sentences.length > 0 || replaced.length > 0,
      repaired: wasExpected ? sentences : [],
      replaced,
      notes,
      isBehind: found?.isBehind ?? false,
    };
  }

  /** Leads probes to the pods that have an interface of their own. That it cannot be done is no reason to refuse a pod: it is
   * returned in words, and tried again at the next look. What was amiss is put into `sentences`. */
  function steer(sentences: string[] = []): string[] {
    try {
      if (branches?.converge(wanted.flatMap((family) => owners.entries(family)).map(addressOf))) {
        sentences.push(BRANCHES_AMISS);
      }
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  }

  /** Puts in what should be there. The first time what an agent before this one left, in our sets or in those of another
   * dialect, counts as told: a flush must not lose pods that nobody has had a reason to tell of since. */
  function fill(): string[] {
    const standing = held();
    const before = missing(standing);
    if (!isEstablished) {
      const otherSets = dialect === "nftables" ? ipsets : nftables;
      const mayHold = dialect === "nftables" || options.nfTables;
      const elsewhere = mayHold ? wanted.flatMap((family) => otherSets.read(family) ?? []) : [];
      owners.learn([...standing, ...elsewhere].filter(({ podUid }) => POD_UID.test(podUid)));
    }
    const gone = standing.filter(({ ip, podUid }) => owners.ended().has(podUid) && owners.ownerOf(ip) === undefined);
    write(missing(standing), gone.map(addressOf));
    owners.settleEnded();
    return lacking(before);
  }

  async function drift(): Promise<readonly string[]> {
    const beside: string[] = [];
    for (const other of others()) {
      if ((await other.find([])).wasThere) beside.push(`rules of ${other.dialect} stand beside those of ${dialect}`);
    }
    const standing = held();
    const surplus = owners.isWhole()
      ? standing.filter(({ ip, podUid }) => owners.ownerOf(ip) === undefined && !owners.has(podUid))
      : [];
    return [
      ...ipsetUpkeep.missing(),
      ...(await store.find(desired())).sentences,
      ...lacking(missing(standing)),
      ...perFamily(surplus, (family, count) => `${count} in ${nameOfSet(family)} belong to no pod of this node`),
      ...(isSteered() ? [] : [BRANCHES_AMISS]),
      ...beside,
      ...ipsetUpkeep.leftOver(),
    ];
  }

  function isSteered(): boolean {
    const plan = branches?.plan(wanted.flatMap((family) => owners.entries(family)).map(addressOf));
    return plan === undefined || plan.add.length + plan.remove.length === 0;
  }

  async function removeAll(): Promise<boolean> {
    const failures: unknown[] = [];
    let changed = false;
    owners.clear();
    isEstablished = false;
    for (const one of [...others(), store]) {
      if (one === store && dialect !== "iptables-legacy" && !options.nfTables) continue;
      try {
        changed = (await one.converge([], { mayMove: false })).wasThere || changed;
      } catch (error) {
        failures.push(error);
      }
    }
    try {
      changed = branches?.converge([]) === true || changed;
    } catch (error) {
      failures.push(error);
    }
    for (const family of FAMILIES) {
      try {
        if (ipsets.state(family) === "absent") continue;
        changed = true;
        if (!ipsets.destroy(family)) ipsets.write(family, [], (ipsets.read(family) ?? []).map(addressOf));
      } catch (error) {
        failures.push(error);
      }
    }
    throwAll(failures, "take the host's probe rules away");
    return changed;
  }

  function lacking(entries: readonly ProbeEntry[]): string[] {
    return perFamily(entries, (family, count) => `${nameOfSet(family)} lacks ${count}`);
  }

  function nameOfSet(family: Family): string {
    return `${sets.kind === "ipset" ? "ipset" : "set"} ${PROBE_SETS[family]}`;
  }
}

function perFamily(entries: readonly ProbeEntry[], sentence: (family: Family, count: string) => string): string[] {
  return FAMILIES.flatMap((family) => {
    const count = entries.filter(({ ip }) => ip.family === family).length;
    return count === 0 ? [] : [sentence(family, count === 1 ? "1 address" : `${count} addresses`)];
  });
}

function addressOf({ ip }: ProbeEntry): IpAddress {
  return ip;
}

function checkUid(podUid: string): void {
  if (POD_UID.test(podUid)) return;
  const accepted = "1 to 127 letters, digits, dots, dashes and underscores are accepted";
  throw new RangeError(`Cannot name the pod "${podUid.slice(0, 200)}" beside its addresses: ${accepted}`);
}
