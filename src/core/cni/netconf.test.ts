import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatCidr, formatIp } from "../address.ts";
import {
  MAX_NETCONF_BYTES,
  type Netconf,
  POD_ANNOTATIONS_CAPABILITY,
  parseNetconf,
  peekCniVersion,
} from "./netconf.ts";

const parse = (document: unknown): Netconf =>
  parseNetconf(new TextEncoder().encode(typeof document === "string" ? document : JSON.stringify(document)));

describe("parseNetconf()", () => {
  it("reads a dual-stack result of CNI 1.0.0", () => {
    const netconf = parse({
      cniVersion: "1.0.0",
      name: "bridge",
      type: "istio-cni",
      prevResult: {
        interfaces: [{ name: "cni0" }, { name: "eth0", sandbox: "/var/run/netns/x" }],
        ips: [{ interface: 1, address: "10.0.0.5/24", gateway: "10.0.0.1" }, { address: "fd00::5/64" }],
        dns: {},
      },
    });
    assert.equal(netconf.cniVersion, "1.0.0");
    assert.equal(netconf.name, "bridge");
    assert.deepEqual(netconf.prevResult?.interfaces, [
      { name: "cni0", sandbox: undefined },
      { name: "eth0", sandbox: "/var/run/netns/x" },
    ]);
    assert.deepEqual(
      netconf.prevResult?.ips.map(({ address, gateway, interfaceIndex }) => [
        formatCidr(address),
        gateway && formatIp(gateway),
        interfaceIndex,
      ]),
      [
        ["10.0.0.5/24", "10.0.0.1", 1],
        ["fd00::5/64", undefined, undefined],
      ],
    );
  });

  it("reads a result of CNI 0.2.0", () => {
    const netconf = parse({
      cniVersion: "0.2.0",
      prevResult: { ip4: { ip: "10.0.0.5/24" }, ip6: { ip: "fd00::5/64" } },
    });
    assert.deepEqual(
      netconf.prevResult?.ips.map(({ address }) => formatCidr(address)),
      ["10.0.0.5/24", "fd00::5/64"],
    );
  });

  it("keeps the text of prevResult as it came, numbers and spacing included", () => {
    const text = '{ "ips" : [], "x":12345678901234567890, "s":"\\u003c" }';
    assert.equal(parse(`{"prevResult": ${text}}`).prevResult?.text, text);
  });

  it("takes annotations that are null for a pod without any: that runtime does pass them", () => {
    const annotations = (runtimeConfig: unknown) => parse({ runtimeConfig }).podAnnotations;
    assert.equal(annotations({})?.size, undefined);
    assert.equal(annotations({ [POD_ANNOTATIONS_CAPABILITY]: null })?.size, 0);
  });
  it("takes an absent version for 0.1.0 and null for absent", () => {
    const netconf = parse({ prevResult: null, runtimeConfig: null, name: null });
    assert.deepEqual(netconf, { cniVersion: "0.1.0", name: "", prevResult: undefined, podAnnotations: undefined });
    assert.deepEqual(parse({ prevResult: { ips: null } }).prevResult?.ips, []);
  });

  it("tells annotations that are not passed from annotations that are empty", () => {
    const key = "io.kubernetes.cri.pod-annotations";
    assert.equal(parse({ runtimeConfig: {} }).podAnnotations, undefined);
    assert.equal(parse({ runtimeConfig: { [key]: {} } }).podAnnotations?.size, 0);
    const annotations = parse({
      runtimeConfig: { [key]: { "sidecar.istio.io/status": "{}", toString: "x" } },
    }).podAnnotations;
    assert.deepEqual(
      [...(annotations ?? [])],
      [
        ["sidecar.istio.io/status", "{}"],
        ["toString", "x"],
      ],
    );
  });

  for (const text of ["", "{", "[] []", "\ufeff{}"]) {
    it(`refuses ${JSON.stringify(text)} as undecodable`, () => {
      assert.throws(() => parse(text), {
        name: "CniError",
        code: 6,
        message: /^Cannot read the network configuration: /,
      });
    });
  }

  it("refuses what is not UTF-8 and what is too large", () => {
    assert.throws(() => parseNetconf(Uint8Array.of(0x22, 0xff, 0x22)), { code: 6, message: /not UTF-8/ });
    assert.throws(() => parseNetconf(new Uint8Array(MAX_NETCONF_BYTES + 1)), { code: 6, message: /at most 1048576/ });
  });

  for (const document of [
    [],
    { cniVersion: 1 },
    { prevResult: [] },
    { prevResult: { ips: {} } },
    { prevResult: { ips: ["10.0.0.1"] } },
    { prevResult: { ips: [{ address: "10.0.0.5" }] } },
    { prevResult: { ips: [{ address: "10.0.0.5/24", gateway: "x" }] } },
    { prevResult: { ips: [{ address: "10.0.0.5/24", interface: "0" }] } },
    { prevResult: { interfaces: [1] } },
    { runtimeConfig: [] },
    { runtimeConfig: { "io.kubernetes.cri.pod-annotations": ["a"] } },
    { runtimeConfig: { "io.kubernetes.cri.pod-annotations": { a: 1 } } },
  ]) {
    it(`refuses ${JSON.stringify(document)} as an invalid configuration`, () => {
      assert.throws(() => parse(document), { name: "CniError", code: 7 });
    });
  }
});

describe("peekCniVersion()", () => {
  const peek = (text: string) => peekCniVersion(new TextEncoder().encode(text));

  it("reads the version of a document that is refused for something else", () => {
    assert.equal(peek('{"cniVersion":"1.0.0","prevResult":[]}'), "1.0.0");
    assert.equal(peek('{"cniVersion":""}'), undefined);
    assert.equal(peek('{"cniVersion":3}'), undefined);
    assert.equal(peek("not json"), undefined);
    assert.equal(peek(""), undefined);
  });
});
