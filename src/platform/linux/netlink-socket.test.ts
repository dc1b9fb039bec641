import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { createNetns } from "../../../testbed/netns.ts";
import { checked, closeFd, connectSocket, getsockname, lastErrno, send, socket } from "./libc.ts";
import { joinNetlinkGroup, openNetlink } from "./netlink-socket.ts";
import { runInNetns } from "./netns.ts";
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW } from "./socket-numbers.ts";

const NETLINK_NETFILTER = 12;
const NFNLGRP_NFTABLES = 7;

/** NLMSG_ERROR with number 0: an acknowledgement, as the kernel would write it. */
const FORGED = Uint8Array.of(36, 0, 0, 0, 2, 0, 0, 1, 1, ...Array<number>(27).fill(0));

/** struct sockaddr_nl { family; pad; pid; groups } (linux/netlink.h). */
function netlinkAddress(portId: number, groups: number): Uint8Array {
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(4, portId, true);
  view.setUint32(8, groups, true);
  return address;
}

function portIdOf(fd: number): number {
  const address = netlinkAddress(0, 0);
  checked("getsockname", "read a port id", () => getsockname(fd, address, Uint8Array.of(address.length, 0, 0, 0)));
  return new DataView(address.buffer).getUint32(4, true);
}

/** What whoever has CAP_NET_ADMIN in the namespace, a pod for one, can send there; the errno of send(2), 0: it was taken. */
function forge(netnsFd: number, portId: number, groups: number): number {
  const fd = runInNetns(netnsFd, () => socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  try {
    const to = netlinkAddress(portId, groups);
    checked("connect", "aim at a netlink socket", () => connectSocket(fd, to, to.length));
    return send(fd, FORGED, FORGED.length, 0) < 0 ? lastErrno() : 0;
  } finally {
    closeFd(fd);
  }
}

test("openNetlink() makes a socket that nobody but the kernel can send to", () => {
  using netns = createNetns();
  using asking = openNetlink(NETLINK_NETFILTER, netns.fd);
  const portId = portIdOf(asking.fd);
  assert.notEqual(portId, 0);
  assert.equal(forge(netns.fd, portId, 0), constants.errno.ECONNREFUSED);
  assert.equal(asking.receive(), undefined);
});

test("receive() takes nothing from a group that did not come from the kernel", () => {
  using netns = createNetns();
  using listening = openNetlink(NETLINK_NETFILTER, netns.fd);
  joinNetlinkGroup(listening.fd, NFNLGRP_NFTABLES);
  forge(netns.fd, 0, 1 << (NFNLGRP_NFTABLES - 1));
  assert.deepEqual(listening.receive(), new Uint8Array(0), "it says nothing");
  assert.equal(listening.receive(), undefined);

  netns.mustExec(["nft", "add", "table", "inet", "mine"]);
  assert.ok((listening.receive()?.length ?? 0) > 0, "the kernel is heard");
});

test("what is closed neither sends nor takes: its number may be another descriptor's", () => {
  const closed = openNetlink(NETLINK_NETFILTER);
  closed.close();
  using other = openNetlink(NETLINK_NETFILTER);
  assert.equal(other.fd, closed.fd);
  assert.throws(() => closed.send(FORGED), /the netlink socket has been closed/);
  assert.throws(() => closed.receive(), /the netlink socket has been closed/);
});
