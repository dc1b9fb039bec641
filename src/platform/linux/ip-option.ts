// Asks the IP layer of a network namespace by a socket option of SOL_IP: what netfilter answers this way belongs to the
// namespace the socket was made in. Not here: what is asked (core/netlink/ip-set-index.ts).

import { checked, closeFd, getsockopt, socket } from "./libc.ts";
import { runInNetns } from "./netns.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_RAW } from "./socket-numbers.ts";

const IPPROTO_RAW = 255;

/** The option's value, as many bytes as the kernel gives of `value.length`; `value` is what it is asked with, and stays.
 * @throws {ErrnoError} ENOPROTOOPT where nobody answers this option, EPERM without CAP_NET_RAW and CAP_NET_ADMIN. */
export function readIpOption(netnsFd: number, level: number, name: number, value: Uint8Array): Uint8Array {
  const fd = runInNetns(netnsFd, () =>
    checked("socket", "open a raw socket", () => socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)),
  );
  try {
    const filled = value.slice();
    const length = new Uint8Array(4);
    const lengthView = new DataView(length.buffer);
    lengthView.setUint32(0, filled.length, true);
    checked("getsockopt", `read option ${name} of level ${level}`, () => getsockopt(fd, level, name, filled, length));
    return filled.subarray(0, Math.min(filled.length, lengthView.getUint32(0, true)));
  } finally {
    closeFd(fd);
  }
}
