// The host's rules in nf_tables, as iptables-nft or as nft writes them, and the sets of the native table. Over netlink; what
// was read and what is written belong to one generation, so nothing of others is overwritten that was not seen.

import { FAMILIES, type Family, formatIp, type IpAddress } from "../../core/address.ts";
import {
  decodeIptablesHost,
  decodeNativeHost,
  encodeIptablesHostRequests,
  encodeIptablesHostSteps,
  encodeNativeHostRequests,
  encodeNativeHostSteps,
  type HostRequests,
  type NativeSetSteps,
  nativeSetRef,
} from "../../core/netlink/host-rules.ts";
import type { HeldRule } from "../../core/netlink/iptables-nft.ts";
import type { NetlinkMessage } from "../../core/netlink/message.ts";
import { type BatchOutcome, describeRefused, encodeBatch } from "../../core/netlink/nfnetlink.ts";
import {
  createElements,
  deleteElements,
  encodeGetElement,
  encodeGetElements,
  encodeGetSets,
} from "../../core/netlink/nft-set.ts";
import { decodeElements, decodeSets } from "../../core/netlink/nft-set-dump.ts";
import { KernelRefusalError, parseReplies } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { SetNumbers } from "../../core/netlink/xt-match.ts";
import { HOST_INET_TABLE, type HostPlan, planHostRules } from "../../core/rules/ambient-host-plan.ts";
import { PROBE_SETS } from "../../core/rules/ambient-numbers.ts";
import type { HeldTables } from "../../core/rules/diff.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { findingOf, type HostFinding, type HostMove, type HostRuleStore, joinFindings } from "./host-rule-store.ts";
import { commit, dump, exchange, readGeneration } from "./netlink-conversation.ts";
import type { ProbeEntry, ProbeSets } from "./probe-sets.ts";
import { NetfilterError } from "./rule-store.ts";
import { throwAll } from "./throw-all.ts";

export interface HostNfTablesDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
}

type Refused = Extract<BatchOutcome, { kind: "refused" }>;

const ENOENT = 2;
const EEXIST = 17;
const ERESTART = 85;
/** On a node others write too: kube-proxy, the network's agent. */
const MAX_ROUNDS = 10;
/** Up to so many addresses are asked for one by one: a set of five hundred pods takes as long to read as a hundred of them. */
const ONE_BY_ONE = 16;
/** Heard of soon after they were made. */
const OWN_GENERATIONS = 256;

/** Rules as iptables-nft writes them. `numbers`: of the ipsets, asked anew for each look. */
export function createHostIptablesNft(
  deps: HostNfTablesDeps,
  netnsFd: number,
  numbers: () => SetNumbers,
): HostRuleStore {
  function read(socket: NetlinkSocket, family: Family, sets: SetNumbers): HeldTables<HeldRule>[] {
    return [decodeIptablesHost(ask(socket, encodeIptablesHostRequests(family)), family, sets)];
  }
  return {
    dialect: "iptables-nft",
    find(desired) {
      using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
      const sets = numbers();
      return joinFindings(
        FAMILIES.map((family) =>
          findingOf(planHostRules(read(socket, family, sets), ofFamily(desired, family), { mayMove: true })),
        ),
      );
    },
    converge(desired, move) {
      const failures: unknown[] = [];
      const findings = FAMILIES.flatMap((family): HostFinding[] => {
        try {
          using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
          const sets = numbers();
          const plan = converge(socket, () => {
            const planned = planHostRules(read(socket, family, sets), ofFamily(desired, family), move);
            const encode = (generation: number): Uint8Array | undefined =>
              planned.steps.length === 0 ? undefined : encodeIptablesHostSteps(planned.steps, sets, { generation });
            return { plan: planned, encode };
          });
          return [findingOf(plan)];
        } catch (error) {
          failures.push(error);
          return [];
        }
      });
      throwAll(failures, "let probes of the node into pods");
      return joinFindings(findings);
    },
  };
}

export interface HostNftables extends HostRuleStore, ProbeSets {
  /** Whether this generation was made by `write` and by nothing else, so that nobody has to look what it changed. Tells of the
   * latest ones only. */
  isOwnGeneration(generation: number): boolean;
}

/** Rules as nft writes them, in a table of our own, with the sets that belong to it. */
export function createHostNftables(deps: HostNfTablesDeps, netnsFd: number): HostNftables {
  const own: number[] = [];
  const open = (): NetlinkSocket => deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);

  /** The plan, and which sets it lacks. A set of our name and another kind takes the table with it: all in there is ours. */
  function plan(socket: NetlinkSocket, desired: readonly Ruleset[], move: HostMove) {
    const wanted = FAMILIES.filter((family) => looksInto(desired, family));
    const held = decodeNativeHost(ask(socket, encodeNativeHostRequests()));
    const heldSets = held.tables.length === 0 ? [] : readSets(socket);
    const wrong = heldSets.filter(({ name, keys }) => wanted.some((one) => PROBE_SETS[one] === name && keys !== one));
    const isReplaced = wrong.length > 0;
    const planned = planHostRules(isReplaced ? [] : [held], desired, move);
    const steps = isReplaced
      ? [{ family: "inet", table: HOST_INET_TABLE, kind: "delete-table" } as const, ...planned.steps]
      : planned.steps;
    const isNewTable = steps.some(({ kind }) => kind === "add-table" || kind === "delete-table");
    const has = (family: Family): boolean => !isNewTable && heldSets.some(({ name }) => name === PROBE_SETS[family]);
    const sets: NativeSetSteps = {
      add: wanted.filter((family) => !has(family)),
      remove: FAMILIES.filter((family) => has(family) && wanted.length > 0 && !wanted.includes(family)),
    };
    const sentences = [
      ...wrong.map(({ name }) => `set ${name} of table ${HOST_INET_TABLE} is of another kind`),
      ...(isReplaced ? [] : planned.sentences),
      ...(isNewTable
        ? []
        : sets.add.map((family) => `set ${PROBE_SETS[family]} of table ${HOST_INET_TABLE} is missing`)),
      ...sets.remove.map((family) => `set ${PROBE_SETS[family]} of table ${HOST_INET_TABLE} is left over`),
    ];
    const isChange = steps.length + sets.add.length + sets.remove.length > 0;
    return { plan: { ...planned, steps, sentences, wasThere: held.tables.length > 0 }, sets, isChange };
  }

  return {
    dialect: "nftables",
    kind: "nftables",
    isOwnGeneration: (generation) => own.includes(generation),
    find(desired) {
      using socket = open();
      const found = plan(socket, desired, { mayMove: true });
      return { ...findingOf(found.plan), isChange: found.isChange };
    },
    converge(desired, move) {
      using socket = open();
      let isChange = false;
      const made = converge(socket, () => {
        const found = plan(socket, desired, move);
        isChange = found.isChange;
        const encode = (generation: number): Uint8Array | undefined =>
          found.isChange ? encodeNativeHostSteps(found.plan.steps, found.sets, { generation }) : undefined;
        return { plan: found.plan, encode };
      });
      return { ...findingOf(made), isChange };
    },
    read(family) {
      using socket = open();
      return readElements(socket, family);
    },
    write(family, put, remove) {
      using socket = open();
      for (let round = 1; round <= MAX_ROUNDS; round++) {
        // An element that is there keeps its old comment when it is added again (D33): it goes and comes in one batch.
        // Looked at before, because a batch that the kernel refuses waits for RCU, some 15 ms.
        const few = round === 1 ? readFew(socket, family, [...put.map(({ ip }) => ip), ...remove]) : undefined;
        const held = few ?? readElements(socket, family);
        if (held === undefined) throw noSet(family);
        const batch = encodeElementChanges(family, held, put, remove);
        if (batch === undefined) return;
        const before = readGeneration(socket, "the host's rules");
        const outcome = commit(socket, "change the host's rules", batch);
        if (outcome.kind === "committed") return noteOwn(before, readGeneration(socket, "the host's rules"));
        // Somebody else was there in between.
        if (!outcome.refusals.some(({ errno }) => errno === EEXIST || errno === ENOENT)) throw refusal(batch, outcome);
      }
      throw contended();
    },
  };

  /** Not where somebody else was there in between. */
  function noteOwn(before: number, after: number): void {
    if (after !== before + 1) return;
    own.push(after);
    if (own.length > OWN_GENERATIONS) own.shift();
  }

  function readSets(socket: NetlinkSocket) {
    return decodeSets(dumpIfThere(socket, "read the sets", encodeGetSets("inet", HOST_INET_TABLE)) ?? []);
  }

  function readElements(socket: NetlinkSocket, family: Family): ProbeEntry[] | undefined {
    if (!readSets(socket).some(({ name, keys }) => name === PROBE_SETS[family] && keys === family)) return undefined;
    const messages = dumpIfThere(socket, "read the addresses", encodeGetElements(nativeSetRef(family)));
    return messages && decodeElements(messages).map(({ ip, comment }) => ({ ip, podUid: comment }));
  }
}

/** Of these addresses those that the set holds; undefined: they are many, or the kernel tells in another way only. Where there
 * is no set it holds none, and the batch says so. */
function readFew(socket: NetlinkSocket, family: Family, addresses: readonly IpAddress[]): ProbeEntry[] | undefined {
  if (addresses.length > ONE_BY_ONE) return undefined;
  const held: ProbeEntry[] = [];
  for (const ip of addresses) {
    for (const reply of [...exchange(socket, encodeGetElement(nativeSetRef(family), ip))].flatMap(parseReplies)) {
      if (reply.kind === "refused" && reply.errno !== ENOENT) return undefined;
      if (reply.kind !== "data") continue;
      held.push(...decodeElements([reply.message]).map(({ comment }) => ({ ip, podUid: comment })));
    }
  }
  return held;
}

/** Undefined: it stands as wanted. */
function encodeElementChanges(
  family: Family,
  held: readonly ProbeEntry[],
  put: readonly ProbeEntry[],
  remove: readonly IpAddress[],
): Uint8Array | undefined {
  const owners = new Map(held.map(({ ip, podUid }) => [formatIp(ip), podUid]));
  const added = put.filter(({ ip, podUid }) => owners.get(formatIp(ip)) !== podUid);
  const gone = [...remove, ...added.map(({ ip }) => ip)].filter((ip) => owners.has(formatIp(ip)));
  const elements = added.map(({ ip, podUid }) => ({ ip, comment: podUid }));
  const ref = nativeSetRef(family);
  const messages = [...deleteElements(ref, gone), ...createElements(ref, elements)];
  return messages.length === 0 ? undefined : encodeBatch(messages);
}

/** Looks and writes until what was looked at is what was written to. Returns the first plan: what was found. */
function converge(
  socket: NetlinkSocket,
  look: () => { readonly plan: HostPlan<HeldRule>; encode(generation: number): Uint8Array | undefined },
): HostPlan<HeldRule> {
  let first: HostPlan<HeldRule> | undefined;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const generation = readGeneration(socket, "the host's rules");
    const { plan, encode } = look();
    first ??= plan;
    if (plan.obstacle !== undefined)
      throw new NetfilterError("unsupported", `Cannot let probes of the node into pods: ${plan.obstacle}`);
    const batch = encode(generation);
    if (batch === undefined) return first;
    const outcome = commit(socket, "change the host's rules", batch);
    if (outcome.kind === "committed") return first;
    if (!outcome.refusals.some(({ errno }) => errno === ERESTART || errno === EEXIST)) throw refusal(batch, outcome);
  }
  throw contended();
}

/** Everything that was asked for and is there. */
function ask(socket: NetlinkSocket, { objects, dumps }: HostRequests): NetlinkMessage[] {
  const found = objects.flatMap((request) =>
    [...exchange(socket, request)].flatMap(parseReplies).flatMap((reply) => {
      if (reply.kind === "data") return [reply.message];
      if (reply.kind === "refused" && reply.errno !== ENOENT)
        throw new KernelRefusalError("read the host's rules", reply);
      return [];
    }),
  );
  return [...found, ...dumps.flatMap((request) => dumpIfThere(socket, "read the host's rules", request) ?? [])];
}

/** Undefined: there is no such table or set. */
function dumpIfThere(
  socket: NetlinkSocket,
  action: string,
  request: Uint8Array,
): readonly NetlinkMessage[] | undefined {
  try {
    return dump(socket, action, request);
  } catch (error) {
    if (error instanceof KernelRefusalError && error.refusal.errno === ENOENT) return undefined;
    throw error;
  }
}

function refusal(batch: Uint8Array, { refusals: [first] }: Refused): Error {
  if (first === undefined) return new Error("Cannot change the host's rules: the kernel gives no reason");
  return new KernelRefusalError(`program the ${describeRefused(batch, first)} of the host`, first);
}

function noSet(family: Family): KernelRefusalError {
  const refused = { sequence: 0, requestType: 0, errno: ENOENT, text: "there is no such set" };
  return new KernelRefusalError(`change set ${PROBE_SETS[family]} of table ${HOST_INET_TABLE}`, refused);
}

function contended(): NetfilterError {
  const state = `somebody else changed them during each of ${MAX_ROUNDS} attempts`;
  return new NetfilterError("contended", `Cannot change the host's rules: ${state}`);
}

function looksInto(desired: readonly Ruleset[], family: Family): boolean {
  const rules = desired.flatMap(({ tables }) => tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules)));
  return rules.some(({ matches }) => matches.some((match) => match.kind === "set" && match.family === family));
}

function ofFamily(desired: readonly Ruleset[], family: Family): Ruleset[] {
  return desired.filter((ruleset) => ruleset.family === family);
}
