// Numbers that all rtnetlink messages share (uapi/linux/rtnetlink.h, netlink.h, bits/socket.h).

/** Protocol numbers of the netlink sockets we open: socket(AF_NETLINK, SOCK_RAW, …). */
export const NETLINK_PROTOCOL = { route: 0, netfilter: 12 } as const;

/** nlmsg_type of the messages we send or read. */
export const RTM = {
  NEWLINK: 16,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
} as const;

/** nlmsg_flags of requests. */
export const NLM_F = {
  REQUEST: 0x001,
  ACK: 0x004,
  DUMP: 0x300,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/** The index of `lo` in every network namespace. */
export const LOOPBACK_INDEX = 1;

/** AF_INET and AF_INET6 by IP version. */
export const ADDRESS_FAMILY = { 4: 2, 6: 10 } as const;

/** The IP version of an AF_ number, undefined for others. */
export function familyOf(addressFamily: number): 4 | 6 | undefined {
  if (addressFamily === ADDRESS_FAMILY[4]) return 4;
  return addressFamily === ADDRESS_FAMILY[6] ? 6 : undefined;
}
