import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatIp } from "../address.ts";
import { parseUpstreamAdd, UpstreamAddError } from "./upstream-add.ts";

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

/** As upstream's plugin writes it: contract 3.9. */
const SENT = {
  Netns: "/var/run/netns/cni-1",
  PodName: "web",
  PodNamespace: "shop",
  IPs: [
    { Interface: 2, Address: { IP: "10.0.0.5", Mask: "////AA==" }, Gateway: "10.0.0.1" },
    { Interface: null, Address: { IP: "fd00::5", Mask: "//////////8AAAAAAAAAAA==" } },
    { Address: { IP: "::ffff:10.0.0.6", Mask: "" } },
  ],
};

test("parseUpstreamAdd() reads what upstream's plugin writes", () => {
  const { ips, ...rest } = parseUpstreamAdd(bytes(SENT));
  assert.deepEqual(rest, { netnsPath: "/var/run/netns/cni-1", podName: "web", podNamespace: "shop" });
  assert.deepEqual(ips.map(formatIp), ["10.0.0.5", "fd00::5", "10.0.0.6"]);
  assert.deepEqual(parseUpstreamAdd(bytes({ ...SENT, IPs: null })).ips, []);
});

test("parseUpstreamAdd() reads keys as Go does: in any case, unknown ones ignored, the last of two", () => {
  const text = '{"netns":"/a","NETNS":"/b","podName":"x","podname":"y","podNamespace":"z","More":{}}';
  assert.deepEqual(parseUpstreamAdd(bytes(text)), { netnsPath: "/b", podName: "y", podNamespace: "z", ips: [] });
});

const REFUSED: readonly (readonly [what: string, body: unknown, words: RegExp])[] = [
  ["no body", "", /no body/],
  ["a body that is no JSON", "{", /not JSON/],
  ["a body that is no UTF-8", undefined, /not JSON/],
  ["a list", [], /the body is no JSON object/],
  ["a missing namespace", { ...SENT, PodNamespace: undefined }, /PodNamespace is missing/],
  ["an empty name", { ...SENT, PodName: "" }, /PodName is missing/],
  ["a name that is no text", { ...SENT, PodName: 7 }, /PodName is missing or no text/],
  ["a name of a megabyte", { ...SENT, PodName: "x".repeat(1 << 20) }, /PodName has 1048576 characters/],
  ["a relative path", { ...SENT, Netns: "run/netns/x" }, /Netns is "run\/netns\/x"/],
  ["a path that climbs", { ...SENT, Netns: "/var/run/../../etc" }, /without ".."/],
  ["a path with a NUL", { ...SENT, Netns: "/var\0" }, /Netns is "\/var\\u0000"/],
  ["addresses that are no list", { ...SENT, IPs: {} }, /IPs is no list/],
  ["too many addresses", { ...SENT, IPs: Array(65).fill(SENT.IPs[0]) }, /IPs has 65 entries/],
  ["an address that is none", { ...SENT, IPs: [{ Address: { IP: "10.0.0" } }] }, /IPs\[0\].Address.IP is "10.0.0"/],
  ["an entry without address", { ...SENT, IPs: [null] }, /IPs\[0\] is no JSON object/],
];

for (const [what, body, words] of REFUSED) {
  test(`parseUpstreamAdd() refuses ${what}`, () => {
    const input = body === undefined ? Uint8Array.of(0x22, 0xff, 0x22) : bytes(body);
    assert.throws(
      () => parseUpstreamAdd(input),
      (error) => error instanceof UpstreamAddError && words.test(error.message) && error.message.length < 300,
    );
  });
}

test("parseUpstreamAdd() throws nothing but its own error, whatever comes", () => {
  const field = fc.constantFrom("Netns", "PodName", "PodNamespace", "IPs", "__proto__");
  const hostile = fc.oneof(
    fc.json(),
    fc.dictionary(field, fc.jsonValue()).map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(hostile, (text) => {
      try {
        parseUpstreamAdd(bytes(text));
      } catch (error) {
        assert.ok(error instanceof UpstreamAddError, String(error));
      }
    }),
  );
});
