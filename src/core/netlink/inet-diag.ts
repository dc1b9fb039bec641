// Asks a network namespace for its TCP connections by sock_diag, also for those that are not established yet: who knocked at a
// port, although the answer got lost (uapi/linux/inet_diag.h, sock_diag.h). Equiv: ss -tn state … 'sport = :PORT'
import { ADDRESS_BYTES, type IpAddress, unmapIp } from "../address.ts";
import { NetlinkFormatError, viewOf } from "./message.ts";
import { collectDump } from "./reply.ts";
import { ADDRESS_FAMILY, NLM_F } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

/** NETLINK_SOCK_DIAG, for socket(AF_NETLINK, …). */
export const SOCK_DIAG_PROTOCOL = 4;

/** TCP_* of net/tcp_states.h. */
export const TCP_STATE = { established: 1, synReceived: 3, finWait1: 4, finWait2: 5, closeWait: 8 } as const;

const SOCK_DIAG_BY_FAMILY = 20;
const IPPROTO_TCP = 6;
const MESSAGE_BYTES = 72;
/** Of any family: IPv4 fills the first four. */
const SLOT_BYTES = 16;

/** One connection, as this namespace sees it. */
export interface TcpConnection {
  readonly localPort: number;
  /** Of IPv4 also where a socket of IPv6 has it (::ffff:…). */
  readonly peer: IpAddress;
  readonly peerPort: number;
}

/** Which connections are asked for. */
export interface TcpQuestion {
  readonly localPort: number;
  readonly peerPort?: number;
  readonly states: readonly number[];
}

/**
 * Asks for the connections of sockets of one family at `localPort`, in these states (TCP_STATE), with `peerPort` where it is given. The
 * kernel picks them out itself. A kernel without the module that answers says ENOENT.
 */
export function encodeGetTcpConnections(family: 4 | 6, { localPort, peerPort = 0, states }: TcpQuestion): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: SOCK_DIAG_BY_FAMILY, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence: 1 }, () => {
    // struct inet_diag_req_v2 { __u8 family, protocol, ext, pad; __u32 states; struct inet_diag_sockid id; }
    writer.raw(Uint8Array.of(ADDRESS_FAMILY[family], IPPROTO_TCP, 0, 0));
    writer.u32(states.reduce((bits, state) => bits | (1 << state), 0));
    // struct inet_diag_sockid { __be16 sport, dport; __be32 src[4], dst[4]; __u32 if, cookie[2]; }
    writer.u16be(localPort);
    writer.u16be(peerPort);
    writer.raw(new Uint8Array(2 * SLOT_BYTES + 4));
    writer.u32(0xffffffff);
    writer.u32(0xffffffff);
  });
  return writer.finish();
}

/** Reads the answer. @throws {KernelRefusalError}, {NetlinkFormatError} */
export function decodeTcpConnections(family: 4 | 6, datagrams: Iterable<Uint8Array>): TcpConnection[] {
  return collectDump("list TCP connections", datagrams)
    .messages.filter(({ type }) => type === SOCK_DIAG_BY_FAMILY)
    .flatMap(({ payload }) => parseConnection(family, payload));
}

/** struct inet_diag_msg { __u8 family, state, timer, retrans; struct inet_diag_sockid id; … } */
function parseConnection(family: 4 | 6, payload: Uint8Array): TcpConnection[] {
  if (payload.length < MESSAGE_BYTES) {
    throw new NetlinkFormatError(`Cannot read a TCP connection: message of ${payload.length} bytes`);
  }
  const view = viewOf(payload);
  if (view.getUint8(0) !== ADDRESS_FAMILY[family]) return [];
  const peerAt = 8 + SLOT_BYTES;
  return [
    {
      localPort: view.getUint16(4, false),
      peer: unmapIp({ family, bytes: payload.slice(peerAt, peerAt + ADDRESS_BYTES[family]) }),
      peerPort: view.getUint16(6, false),
    },
  ];
}
