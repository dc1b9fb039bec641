import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeLoopbackHasIpv6 } from "./loopback-ipv6.ts";
import { NetlinkFormatError } from "./message.ts";
import { RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

const IFLA_AF_SPEC = 26;
const IFLA_INET6_CONF = 2;
const AF_INET6 = 10;

/** As the kernel tells of lo; `settings` undefined: it has no IPv6. */
function link(settings: readonly number[] | undefined): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.NEWLINK, flags: 0, sequence: 1 }, () => {
    for (const word of [0, 1, 0, 0]) writer.u32(word);
    if (settings === undefined) return;
    writer.nested(IFLA_AF_SPEC, () =>
      writer.nested(AF_INET6, () =>
        writer.attribute(IFLA_INET6_CONF, () => {
          for (const setting of settings) writer.u32(setting);
        }),
      ),
    );
  });
  return writer.finish();
}

test("lo has IPv6 where the kernel lists its settings and none switches it off", () => {
  const settings = Array.from({ length: 40 }, () => 0);
  assert.equal(decodeLoopbackHasIpv6([link(settings)]), true);
  assert.equal(decodeLoopbackHasIpv6([link(settings.with(26, 1))]), false);
  assert.equal(decodeLoopbackHasIpv6([link(settings.with(25, 1))]), true);
  assert.equal(decodeLoopbackHasIpv6([link(undefined)]), false);
  assert.equal(decodeLoopbackHasIpv6([link(settings.slice(0, 26))]), false);
});

test("no answer about lo is an error, not a lo without IPv6", () => {
  assert.throws(() => decodeLoopbackHasIpv6([]), NetlinkFormatError);
});
