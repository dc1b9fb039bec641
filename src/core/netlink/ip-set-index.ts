// The question by which iptables learns the number of an ipset, which its rules hold instead of the name: what goes into
// and comes out of getsockopt(SOL_IP, SO_IP_SET) (uapi/linux/netfilter/ipset/ip_set.h, struct ip_set_req_get_set). Asked
// this way because every kernel answers it; by netlink only those since 4.20 do.

import { IPSET_PROTOCOL, MAX_NAME_BYTES } from "./ipset.ts";
import { viewOf } from "./message.ts";

/** SOL_IP and SO_IP_SET, for getsockopt(2). */
export const IP_SET_OPTION = { level: 0, name: 83 } as const;

const IP_SET_OP_GET_BYNAME = 6;
/** unsigned op, version; union { char name[32]; __u16 index; } */
const REQUEST_BYTES = 40;
const UNION_OFFSET = 8;
/** IPSET_INVALID_ID */
const NO_SET = 0xffff;

/** The struct to be filled by the kernel. @throws {RangeError} for a name that no set can have */
export function encodeIndexRequest(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= MAX_NAME_BYTES || bytes.includes(0)) {
    throw new RangeError(`Cannot ask for the number of ipset "${name}": 1 to ${MAX_NAME_BYTES - 1} bytes are accepted`);
  }
  const request = new Uint8Array(REQUEST_BYTES);
  viewOf(request).setUint32(0, IP_SET_OP_GET_BYNAME, true);
  viewOf(request).setUint32(4, IPSET_PROTOCOL, true);
  request.set(bytes, UNION_OFFSET);
  return request;
}

/** The number in the filled struct; undefined: there is no such set. */
export function decodeIndex(filled: Uint8Array): number | undefined {
  const index = filled.length < REQUEST_BYTES ? NO_SET : viewOf(filled).getUint16(UNION_OFFSET, true);
  return index === NO_SET ? undefined : index;
}
