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

/** Sends `bytes` and yields the datagrams of the answer, lazily: whoever has seen the end stops. */
export function* exchange(socket: NetlinkSocket, bytes: Uint8Array): Generator<Uint8Array> {
  socket.send(bytes);
  for (let datagram = socket.receive(); datagram !== undefined; datagram = socket.receive()) yield datagram;
}

/** Dumps until a dump was not interrupted. `action` completes "Cannot …".
 * @throws {KernelRefusalError}; Error when something changes every time. */
export function dump(socket: NetlinkSocket, action: string, request: Uint8Array): Dump["messages"] {
  return whole(action, () => collectDump(action, exchange(socket, request))).messages;
}

/** Reads until what was read is one picture, for readers that decode while they read. `action` completes "Cannot …".
 * @throws what `read` throws; Error when something changes every time. */
export function whole<T extends { readonly interrupted: boolean }>(action: string, read: () => T): T {
  for (let attempt = 1; attempt <= MAX_DUMPS; attempt++) {
    const picture = read();
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
