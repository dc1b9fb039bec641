// One request to the kernel and all of its answer. The kernel has answered by the time `send` returns, so the first empty
// read is the end and nothing here waits.
import {
  type BatchOutcome,
  decodeGeneration,
  encodeGetGeneration,
  parseBatchOutcome,
} from "../../core/netlink/nfnetlink.ts";
import { collectDump, type Dump } from "../../core/netlink/reply.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";

/** A picture is torn when something changes while it is drawn; this often it is drawn again. */
const MAX_DUMPS = 5;

/** Whoever holds CAP_NET_ADMIN in a pod may fill its namespace and change it all the time, and the thread that reads it, a second for
 * as many rules as this, answers every pod of the node. The rules of the largest capture that policy takes have 6 MB. */
const MAX_ANSWER_BYTES = 16 << 20;

/** Sends `bytes` and yields the datagrams of the answer, lazily: whoever has seen the end stops.
 * @param left how much may come, counted down.
 * @throws {ErrnoError} of the socket; Error for an answer that is too long. */
export function* exchange(
  socket: NetlinkSocket,
  bytes: Uint8Array,
  left = { bytes: MAX_ANSWER_BYTES },
): Generator<Uint8Array> {
  socket.send(bytes);
  for (let datagram = socket.receive(); datagram !== undefined; datagram = socket.receive()) {
    left.bytes -= datagram.length;
    if (left.bytes < 0) {
      const state = `it is more than ${MAX_ANSWER_BYTES >> 20} MiB, or much and changed while it was read`;
      throw new Error(`Cannot read what the network namespace holds: ${state}`);
    }
    yield datagram;
  }
}

/** Dumps until a dump was not interrupted. `action` completes "Cannot …".
 * @throws {KernelRefusalError}; Error when it is too long, or something changes every time. */
export function dump(socket: NetlinkSocket, action: string, request: Uint8Array): Dump["messages"] {
  return whole(socket, action, (ask) => collectDump(action, ask(request))).messages;
}

/** Reads until what was read is one picture, for readers that decode while they read. `action` completes "Cannot …".
 * @throws what `read` throws; Error when it is too long, or something changes every time. */
export function whole<T extends { readonly interrupted: boolean }>(
  socket: NetlinkSocket,
  action: string,
  read: (ask: (request: Uint8Array) => Iterable<Uint8Array>) => T,
): T {
  const left = { bytes: MAX_ANSWER_BYTES };
  for (let attempt = 1; attempt <= MAX_DUMPS; attempt++) {
    const picture = read((request) => exchange(socket, request, left));
    if (!picture.interrupted) return picture;
  }
  throw new Error(`Cannot ${action}: it changed during each of ${MAX_DUMPS} reads`);
}

/** The generation of nf_tables in the socket's namespace. `what` are the rules it is asked for, for the message. */
export function readGeneration(socket: NetlinkSocket, what: string): number {
  for (const datagram of exchange(socket, encodeGetGeneration())) return decodeGeneration(datagram);
  throw new Error(`Cannot read the generation of ${what}: the kernel did not answer`);
}

/** Sends a batch to nf_tables: all or nothing. `action` completes "Cannot …". */
export function commit(socket: NetlinkSocket, action: string, batch: Uint8Array): BatchOutcome {
  const outcome = parseBatchOutcome(exchange(socket, batch));
  if (outcome === undefined) throw new Error(`Cannot ${action}: the kernel did not answer the batch`);
  return outcome;
}
