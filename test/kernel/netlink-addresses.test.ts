import assert from "node:assert/strict";
import { test } from "node:test";
import { readAddresses } from "../../src/agent/netfilter/read-addresses.ts";
import { formatIp } from "../../src/core/address.ts";
import { ADDRESS_SCOPE } from "../../src/core/netlink/addresses.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns } from "../../testbed/netns.ts";

test("the addresses of a netns are listed in the kernel's order with scope, flags and interface", () => {
  using netns = createNetns();
  netns.mustExec(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"]);
  netns.mustExec(["ip", "link", "set", "peer0", "up"]);
  netns.mustExec(["ip", "link", "set", "eth0", "up"]);
  netns.mustExec(["ip", "addr", "add", "10.1.2.3/24", "dev", "eth0"]);
  netns.mustExec(["ip", "addr", "add", "10.9.9.9", "peer", "10.9.9.1/32", "dev", "eth0"]);
  netns.mustExec(["ip", "-6", "addr", "add", "fd00::5/64", "dev", "eth0", "nodad"]);
  using socket = openNetlink(NETLINK_PROTOCOL.route, netns.fd);
  const addresses = readAddresses(socket);
  const seen = addresses.map(({ ip, prefixLength, label }) =>
    `${formatIp(ip)}/${prefixLength} ${label ?? ""}`.trimEnd(),
  );
  const global = seen.filter((text) => !text.startsWith("fe80:"));
  assert.deepEqual(global, ["127.0.0.1/8 lo", "10.1.2.3/24 eth0", "10.9.9.9/32 eth0", "::1/128", "fd00::5/64"]);
  const scopeOf = (text: string): number | undefined => addresses.find(({ ip }) => formatIp(ip) === text)?.scope;
  assert.equal(scopeOf("127.0.0.1"), ADDRESS_SCOPE.host);
  assert.equal(scopeOf("fd00::5"), ADDRESS_SCOPE.universe);
  assert.equal(
    addresses.find(({ ip }) => ip.family === 6 && formatIp(ip).startsWith("fe80:"))?.scope,
    ADDRESS_SCOPE.link,
  );
});
