import assert from "node:assert/strict";
import { test } from "node:test";
import type { IpAddress } from "./address.ts";
import {
  cidrContains,
  formatCidr,
  formatIp,
  formatIpAsLibc,
  hostCidr,
  isIpv4Mapped,
  isLinkLocalMulticast,
  isLinkLocalUnicast,
  isLoopback,
  isSameCidr,
  isSameIp,
  maskCidr,
  parseCidr,
  parseIpAddress,
  prefixMask,
  unmapIp,
} from "./address.ts";

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, `${text} is an address`);
  return address;
}

test("parseIpAddress() reads what netip.ParseAddr reads, and formatIp() prints its canonical text", () => {
  const cases: [string, string][] = [
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["::6", "::6"],
    ["1::", "1::"],
    ["FD00::ABCD", "fd00::abcd"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:0:0:4:5:0:0:8", "1::4:5:0:0:8"],
    ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
    ["0001:02:003:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
    ["::ffff:102:304", "::ffff:1.2.3.4"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ];
  for (const [text, canonical] of cases) assert.equal(formatIp(ip(text)), canonical, text);
});

test("parseIpAddress() refuses everything else", () => {
  const texts = [
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    "1.2.3.",
    ".1.2.3",
    "1.2.3.4 ",
    " 1.2.3.4",
    "+1.2.3.4",
  ];
  texts.push("1.2.3.0x4", "1.2.3.4%eth0", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::");
  texts.push(
    "1:2:3:4:5:6:7::8",
    "::1:2:3:4:5:6:7:8",
    ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:",
    "::g",
    "fe80::1%eth0",
    "::1.2.3",
  );
  texts.push("1.2.3.4::", "::1.2.3.4:5", "::01.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "[::1]", `${"0".repeat(70)}::1`);
  for (const text of texts) assert.equal(parseIpAddress(text), undefined, text);
});

test("parseCidr() wants a mask, keeps the bits behind it, and maskCidr() clears them", () => {
  const cidr = parseCidr("10.1.2.3/13");
  assert.ok(cidr);
  assert.equal(formatCidr(cidr), "10.1.2.3/13");
  assert.equal(formatCidr(maskCidr(cidr)), "10.0.0.0/13");
  for (const text of ["0.0.0.0/0", "1.2.3.4/32", "::/0", "::1/128", "::ffff:1.2.3.4/128"]) {
    assert.equal(formatCidr(parseCidr(text) ?? hostCidr(ip("::"))), text);
  }
  const refused = [
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/08",
    "10.0.0.0/+8",
    "10.0.0.0/-1",
    "10.0.0.0/8 ",
  ];
  refused.push("", "/", "/8", "*", "10.0.0.0/8/8", "fe80::1%eth0/64", "10.0.0.0/255.0.0.0", "10.0.0.0/1e1");
  for (const text of refused) assert.equal(parseCidr(text), undefined, text);
});

test("an IPv4-mapped address stays IPv6 but is classified by the address behind it", () => {
  const mapped = ip("::ffff:127.0.0.1");
  assert.equal(mapped.family, 6);
  assert.ok(isIpv4Mapped(mapped) && isLoopback(mapped));
  assert.equal(formatIp(unmapIp(mapped)), "127.0.0.1");
  assert.ok(!isSameIp(mapped, ip("127.0.0.1")));
  const loopback4 = parseCidr("127.0.0.0/8");
  assert.ok(loopback4 && !cidrContains(loopback4, mapped));
  assert.ok(isLinkLocalUnicast(ip("::ffff:169.254.1.1")) && isLinkLocalMulticast(ip("::ffff:224.0.0.5")));
});

test("addresses are classified as net.IP does it", () => {
  for (const text of ["127.0.0.1", "127.255.0.0", "::1"]) assert.ok(isLoopback(ip(text)), text);
  for (const text of ["128.0.0.1", "::", "::2", "1::1"]) assert.ok(!isLoopback(ip(text)), text);
  for (const text of ["169.254.0.1", "fe80::1", "febf::1"]) assert.ok(isLinkLocalUnicast(ip(text)), text);
  for (const text of ["169.255.0.1", "fec0::1"]) assert.ok(!isLinkLocalUnicast(ip(text)), text);
  for (const text of ["224.0.0.1", "ff02::1", "ff12::1"]) assert.ok(isLinkLocalMulticast(ip(text)), text);
  for (const text of ["224.0.1.1", "ff01::1"]) assert.ok(!isLinkLocalMulticast(ip(text)), text);
});

test("cidrContains() compares the bits of the prefix, and only within a family", () => {
  const holds = (cidr: string, address: string): boolean => {
    const parsed = parseCidr(cidr);
    assert.ok(parsed);
    return cidrContains(parsed, ip(address));
  };
  assert.ok(holds("10.0.0.0/9", "10.127.255.255"));
  assert.ok(!holds("10.0.0.0/9", "10.128.0.0"));
  assert.ok(holds("0.0.0.0/0", "1.2.3.4"));
  assert.ok(!holds("0.0.0.0/0", "::1"));
  assert.ok(holds("fd00::1/128", "fd00::1"));
  assert.ok(!holds("fd00::1/128", "fd00::2"));
  assert.deepEqual([...prefixMask(4, 13)], [255, 248, 0, 0]);
  const [left, right] = [parseCidr("10.0.0.0/8"), parseCidr("10.0.0.0/9")];
  assert.ok(left && right && !isSameCidr(left, right) && isSameCidr(left, left));
});

test("formatIpAsLibc() differs from the canonical text for IPv4-compatible addresses only", () => {
  const cases = [
    ["::102:304", "::1.2.3.4"],
    ["::6", "::6"],
    ["::", "::"],
    ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
    ["1.2.3.4", "1.2.3.4"],
  ];
  for (const [text = "", printed] of cases) assert.equal(formatIpAsLibc(ip(text)), printed);
});
