// Rules in nf_tables, in either of its dialects: one batch over netlink, no program executed, no lock taken (DESIGN 3.4).
// Synchronous; the thread is in the pod's namespace only while the socket is made.
import { FAMILIES } from "../../core/address.ts";
import {
  type ChangeOptions,
  decodeIptablesNft,
  encodeIptablesNft,
  encodeIptablesNftChange,
  type HeldRule,
  type HeldRuleset,
} from "../../core/netlink/iptables-nft.ts";
import type { NetlinkMessage } from "../../core/netlink/message.ts";
import {
  decodeNativeNft,
  encodeNativeNft,
  encodeNativeNftChange,
  type HeldNativeRuleset,
} from "../../core/netlink/native-nft.ts";
import { type BatchOptions, type BatchOutcome, describeRefused, encodeBatch } from "../../core/netlink/nfnetlink.ts";
import { encodePlainChange } from "../../core/netlink/nft-change.ts";
import { encodeNftDumpRequests } from "../../core/netlink/nft-dump.ts";
import { KernelRefusalError } from "../../core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import { drainSteps } from "../../core/policy/backend-drain.ts";
import type { NetlinkDialect } from "../../core/policy/backend-features.ts";
import { diffRulesets } from "../../core/rules/diff.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import { type PodCapture, podInetRules, podRules } from "../../core/rules/pod-capture.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { commit, dump, readGeneration } from "./netlink-conversation.ts";
import { NetfilterError, type RuleStore } from "./rule-store.ts";

export interface NfTablesStore extends RuleStore {
  /** Writes the rules into a namespace in whose nf_tables nobody has ever written, with one message and without a look.
   * False: somebody has, nothing was changed. */
  create(netnsFd: number, desired: readonly Ruleset[]): boolean;
  /** Nobody has ever written nf_tables rules into this namespace, in any dialect. One message. */
  isUntouched(netnsFd: number): boolean;
}

export interface NfTablesDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
}

const EEXIST = 17;
const ERESTART = 85;
/** A namespace starts with this generation number; every commit counts it up (nf_tables_init_net). */
const FIRST_GENERATION = 1;
/** Somebody else may write between our look and our batch; the kernel then refuses the batch and we look again. */
const MAX_ROUNDS = 5;
/** A capture with its rules takes some 100 KB at most as objects. */
const MAX_KNOWN_CAPTURES = 32;

/** What one dialect is to this file: rules to bytes and back. */
interface Codec<H extends Ruleset<HeldRule>> {
  rulesFor(capture: PodCapture): readonly Ruleset[];
  create(desired: readonly Ruleset[], options: BatchOptions): Uint8Array | undefined;
  change(
    held: readonly H[],
    desired: readonly Ruleset[],
    options: ChangeOptions & { readonly formerly: readonly Ruleset[] },
  ): Uint8Array | undefined;
  read(socket: NetlinkSocket): readonly H[];
}

/** Rules as iptables-nft writes them. */
export function createIptablesNftStore(deps: NfTablesDeps): NfTablesStore {
  return createStore<HeldRuleset>(deps, "iptables-nft", {
    rulesFor: podRules,
    create: encodeIptablesNft,
    change: encodeIptablesNftChange,
    read: (socket) => FAMILIES.map((family) => decodeIptablesNft(dumpAll(socket, family), family)),
  });
}

/** Rules as nft writes them. */
export function createNftablesStore(deps: NfTablesDeps): NfTablesStore {
  return createStore<HeldNativeRuleset>(deps, "nftables", {
    rulesFor: podInetRules,
    create: ([desired], options) => (desired === undefined ? undefined : encodeNativeNft(desired, options)),
    change: ([held], [desired], options) =>
      held === undefined ? undefined : encodeNativeNftChange(held, desired, options),
    read: (socket) => {
      const readSets = (requests: readonly Uint8Array[]) =>
        requests.flatMap((request) => dump(socket, "read the sets", request));
      return [decodeNativeNft(dumpAll(socket, "inet"), readSets)];
    },
  });
}

function createStore<H extends Ruleset<HeldRule>>(
  deps: NfTablesDeps,
  dialect: NetlinkDialect,
  codec: Codec<H>,
): NfTablesStore {
  const open = (netnsFd: number) => deps.openNetlink(NETLINK_PROTOCOL.netfilter, netnsFd);
  // Nearly all pods of a node are captured alike: their rules and their first batch are made once.
  const rules = new Map<string, readonly Ruleset[]>();
  const firstBatches = new WeakMap<readonly Ruleset[], Uint8Array>();

  function rulesFor(capture: PodCapture): readonly Ruleset[] {
    const key = JSON.stringify(capture);
    const known = rules.get(key);
    if (known !== undefined) return known;
    const made = codec.rulesFor(capture);
    const [oldest] = rules.keys();
    if (rules.size >= MAX_KNOWN_CAPTURES && oldest !== undefined) rules.delete(oldest);
    rules.set(key, made);
    return made;
  }

  /** Reads and writes until nobody else wrote in between; false: there was nothing to write. What the kernel refuses is tried once
   * more, insisting on what is needed: nothing that somebody leaves in a pod may keep its rules from standing. */
  function change(
    netnsFd: number,
    encode: (held: readonly H[], options: ChangeOptions) => Uint8Array | undefined,
  ): boolean {
    using socket = open(netnsFd);
    let refused: Error | undefined;
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      const generation = readGeneration(socket, "the rules");
      const batch = encode(codec.read(socket), { generation, insists: refused !== undefined });
      if (batch === undefined && refused === undefined) return false;
      if (batch === undefined) break;
      const outcome = commit(socket, "program the pod", batch);
      if (outcome.kind === "committed") return true;
      if (isOvertaken(outcome)) continue;
      if (refused !== undefined) break;
      refused = refusal(dialect, batch, outcome);
    }
    if (refused !== undefined) throw refused;
    const state = `somebody else changed its rules during each of ${MAX_ROUNDS} attempts`;
    throw new NetfilterError("contended", `Cannot program the pod: ${state}`);
  }

  return {
    dialect,
    isAvailable: () => true,
    rulesFor,
    difference: diffRulesets,
    create(netnsFd, desired) {
      if (desired.every(({ tables }) => tables.length === 0)) return false;
      const batch = firstBatches.get(desired) ?? codec.create(desired, { generation: FIRST_GENERATION });
      if (batch === undefined) return false;
      firstBatches.set(desired, batch);
      using socket = open(netnsFd);
      const outcome = commit(socket, "program the pod", batch);
      if (outcome.kind === "committed") return true;
      if (isOvertaken(outcome)) return false;
      throw refusal(dialect, batch, outcome);
    },
    isUntouched(netnsFd) {
      using socket = open(netnsFd);
      return readGeneration(socket, "the rules") === FIRST_GENERATION;
    },
    read(netnsFd) {
      using socket = open(netnsFd);
      return codec.read(socket);
    },
    converge: (netnsFd, desired, formerly) =>
      change(netnsFd, (held, options) => codec.change(held, desired, { ...options, formerly })),
    detach: (netnsFd) =>
      change(netnsFd, (held, options) => {
        const steps = drainSteps(held);
        return steps.length === 0 ? undefined : encodeBatch(steps.map(encodePlainChange), options);
      }),
  };
}

function dumpAll(socket: NetlinkSocket, family: 4 | 6 | "inet"): NetlinkMessage[] {
  return encodeNftDumpRequests(family).flatMap((request) => dump(socket, "read the rules", request));
}

/** Refused because the namespace is not as it was thought to be. */
function isOvertaken({ refusals }: Extract<BatchOutcome, { kind: "refused" }>): boolean {
  return refusals.some(({ errno }) => errno === ERESTART || errno === EEXIST);
}

function refusal(dialect: string, batch: Uint8Array, outcome: Extract<BatchOutcome, { kind: "refused" }>): Error {
  const [first] = outcome.refusals;
  if (first === undefined) return new Error("Cannot program the pod: the kernel refused the batch without a reason");
  return new KernelRefusalError(`program the ${describeRefused(batch, first)} as ${dialect}`, first);
}
