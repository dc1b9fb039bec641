import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { arbitraryFamilies, arbitraryPod } from "../../../testbed/sidecar/arbitrary-pod.ts";
import { planOfPod } from "../../../testbed/sidecar/pod-words.ts";
import { parseIpAddress } from "../address.ts";
import { MAX_LIST_ENTRIES } from "../policy/sidecar-annotations.ts";
import type { AmbientCapture } from "../rules/ambient-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE, MAX_GUEST_RULES, type SidecarCapture } from "../rules/sidecar-capture.ts";
import {
  decodePodRecord,
  encodePodRecord,
  MAX_POD_RECORD_BYTES,
  type PodRecord,
  podUidOfFile,
  recordFileName,
  type SidecarPodRecord,
} from "./pod-record.ts";
import { SAMPLE_RECORDED_POD } from "./testing.ts";

const POD = SAMPLE_RECORDED_POD;
const RECORD: SidecarPodRecord = { ...POD, mode: "sidecar", reason: "sidecar", capture: DEFAULT_SIDECAR_CAPTURE };

const ip = (text: string) => parseIpAddress(text) ?? assert.fail(text);
const PLAIN = { noNullPrototype: true } as const;
const arbitraryNetns = fc.record(
  {
    dev: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    ino: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    cookie: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
  },
  PLAIN,
);
const arbitraryRecordedPod = fc.record({
  podUid: fc.uuid(),
  podNamespace: fc.stringMatching(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/),
  podName: fc.stringMatching(/^[a-z0-9](?:[-a-z0-9]{0,80}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,9}[a-z0-9])?){0,3}$/),
  containerId: fc.option(fc.stringMatching(/^[0-9a-f]{64}$/), { nil: undefined }),
  netns: arbitraryNetns,
  bootId: fc.uuid(),
  decidedBy: fc.constantFrom("add" as const, "annotations" as const),
  wasInPlace: fc.boolean(),
  decidedAtMs: fc.nat(),
});
const arbitrarySidecarCapture = fc.tuple(arbitraryPod, arbitraryFamilies).map(([pod, families]): SidecarCapture => {
  const { dualStack: _, ...plan } = planOfPod(pod);
  return { ...plan, families };
});
const arbitraryAmbientCapture: fc.Arbitrary<AmbientCapture> = fc.record(
  {
    mode: fc.constant("ambient" as const),
    families: arbitraryFamilies,
    captureInbound: fc.boolean(),
    captureDns: fc.boolean(),
    virtualInterfaces: fc.array(fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/), { maxLength: 4 }),
    probeSource: fc.record({ v4: fc.ipV4().map(ip), v6: fc.ipV6().map(ip) }, PLAIN),
  },
  PLAIN,
);
const arbitraryRecord: fc.Arbitrary<PodRecord> = fc.oneof(
  fc.tuple(arbitraryRecordedPod, arbitrarySidecarCapture).map(([pod, capture]) => {
    return { ...pod, mode: "sidecar" as const, reason: "sidecar" as const, capture };
  }),
  fc
    .tuple(arbitraryRecordedPod, fc.constantFrom("interception-mode-none" as const, "excluded-namespace" as const))
    .map(([pod, reason]) => ({ ...pod, mode: "sidecar" as const, reason, capture: undefined })),
  fc
    .tuple(arbitraryRecordedPod, fc.option(arbitraryAmbientCapture, { nil: undefined }))
    .map(([pod, capture]) => ({ ...pod, mode: "ambient" as const, reason: "namespace-label", capture })),
);

test("what is encoded is read back the same, and encoded again to the same bytes", () => {
  fc.assert(
    fc.property(arbitraryRecord, (record) => {
      const bytes = encodePodRecord(record) ?? assert.fail("not encoded");
      const decoded = decodePodRecord(bytes);
      assert.deepEqual(decoded, { kind: "record", record });
      assert.ok(decoded.kind === "record");
      assert.deepEqual(encodePodRecord(decoded.record), bytes);
    }),
  );
});

test("no bytes make the decoder throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.json().map(encode)), (bytes) => {
      assert.ok(["damaged", "other-version"].includes(decodePodRecord(bytes).kind));
    }),
  );
  for (const text of ["[".repeat(200_000), '{"version":1,"__proto__":{"mode":"sidecar"}}', "null", "\ufeff{}"]) {
    assert.equal(decodePodRecord(encode(text)).kind, "damaged", text.slice(0, 40));
  }
});

test("a record cut short or with any byte flipped is damaged, or says something else that is valid", () => {
  const bytes = encodePodRecord(RECORD) ?? assert.fail("not encoded");
  // Without the line's end it is whole.
  for (let length = 0; length < bytes.length - 1; length++) {
    assert.equal(decodePodRecord(bytes.subarray(0, length)).kind, "damaged", `${length} bytes`);
  }
  for (let index = 0; index < bytes.length; index++) {
    const flipped = bytes.with(index, (bytes[index] ?? 0) ^ 0x01);
    const decoded = decodePodRecord(flipped);
    if (decoded.kind === "record") assert.notEqual(encodePodRecord(decoded.record), undefined);
  }
});

test("whatever stands in a member's place, nothing is read that an agent would not write", () => {
  const text = new TextDecoder().decode(encodePodRecord(RECORD));
  const places = [...text.matchAll(/"(\w+)":/g)].map(([, key]) => key);
  let read = 0;
  fc.assert(
    fc.property(fc.constantFrom(...places), fc.nat(3), fc.jsonValue({ maxDepth: 2 }), (key, skip, value) => {
      let seen = 0;
      const changed: unknown = JSON.parse(text, (name, old) => (name === key && seen++ === skip ? value : old));
      const decoded = decodePodRecord(encode(JSON.stringify(changed)));
      if (decoded.kind !== "record") return;
      read++;
      assert.notEqual(encodePodRecord(decoded.record), undefined);
    }),
    { numRuns: 1000 },
  );
  assert.ok(read > 0, "some changes are harmless, or nothing was tried");
});

test("another version reads as absent and is told from damage", () => {
  const text = new TextDecoder().decode(encodePodRecord(RECORD));
  assert.deepEqual(decodePodRecord(encode(text.replace('"version":1', '"version":2'))), { kind: "other-version" });
  assert.deepEqual(decodePodRecord(encode('{"version":7}')), { kind: "other-version" });
  assert.equal(decodePodRecord(encode(text.replace('"version":1', '"version":"1"'))).kind, "damaged");
});

/** Every one must be refused: rules are made of what is read. */
const HOSTILE: readonly (readonly [what: string, from: string, to: string])[] = [
  ["a port beyond 65535", '"exclude":[15020]', '"exclude":[65536]'],
  ["a port with a fraction", '"exclude":[15020]', '"exclude":[1.5]'],
  ["a port as text", '"exclude":[15020]', '"exclude":["15020"]'],
  ["a user id that means none to the kernel", '"proxyUids":[1337]', '"proxyUids":[4294967295]'],
  ["a negative group id", '"proxyGids":[1337]', '"proxyGids":[-1]'],
  ["an interface with a blank", '"excludeInterfaces":[]', '"excludeInterfaces":["eth0 -j ACCEPT"]'],
  ["an interface with a line's end", '"excludeInterfaces":[]', '"excludeInterfaces":["eth0\\n"]'],
  ["an interface too long", '"rerouteVirtualInterfaces":[]', `"rerouteVirtualInterfaces":["${"v".repeat(16)}"]`],
  ["a range that is none", '"include":"*","exclude":[]', '"include":["10.0.0.0/33"],"exclude":[]'],
  ["a list that is a word", '"include":"*","exclude":[]', '"include":"all","exclude":[]'],
  ["an IPv6 prefix for the IPv4 loopback", '"loopbackCidrV4":"127.0.0.1/32"', '"loopbackCidrV4":"::1/128"'],
  ["no family", '"families":{"v4":true,', '"families":{"v4":false,'],
  ["a mode that is none", '"mode":"REDIRECT"', '"mode":"NONE"'],
  ["a mode of another kind", '"mode":"REDIRECT"', '"mode":"ambient"'],
  ["a reason to be out with a capture", '"reason":"sidecar"', '"reason":"not-injected"'],
  ["a reason nobody has", '"reason":"sidecar"', '"reason":"toString"'],
  ["an inode beyond 64 bits", '"ino":"4026532299"', '"ino":"18446744073709551616"'],
  ["a boot id that is none", '"bootId":"2b6a9a43', '"bootId":"2b6a9a4/'],
  ["a pod's name with a slash", '"podName":"web-0"', '"podName":"web/0"'],
  ["a UID that leads elsewhere", '"podUid":"7c7a6a8e-', '"podUid":"../7c7a6a8e-'],
  ["who decided, unknown", '"decidedBy":"add"', '"decidedBy":"me"'],
  ["a flag as a number", '"dnsCapture":false', '"dnsCapture":0'],
];

test("a value that no agent writes makes the whole record absent", () => {
  const text = new TextDecoder().decode(encodePodRecord(RECORD));
  for (const [what, from, to] of HOSTILE) {
    const changed = text.replace(from, to);
    assert.notEqual(changed, text, `${what}: nothing was changed`);
    const decoded = decodePodRecord(encode(changed));
    assert.equal(decoded.kind, "damaged", what);
    assert.ok(decoded.kind === "damaged" && decoded.why.length < 200, what);
  }
});

test("an out without a capture is read, a capture that has to be there is missed", () => {
  const out: PodRecord = { ...RECORD, reason: "interception-mode-none", capture: undefined };
  assert.deepEqual(decodePodRecord(encodePodRecord(out) ?? assert.fail()), { kind: "record", record: out });
  assert.equal(encodePodRecord({ ...RECORD, capture: undefined }), undefined);
  assert.equal(encodePodRecord({ ...RECORD, reason: "bad-annotation", capture: undefined }), undefined);
});

test("the largest capture that policy takes has a record, and a larger list has none", () => {
  const range = { family: 6 as const, bytes: new Uint8Array(16).fill(0xab), prefixLength: 128 };
  const ranges = (count: number) => new Array(count).fill(range);
  const ports = new Array(MAX_LIST_ENTRIES).fill(65_535);
  const largest: SidecarCapture = {
    ...DEFAULT_SIDECAR_CAPTURE,
    outboundIpRanges: { include: ranges(MAX_LIST_ENTRIES), exclude: ranges(MAX_LIST_ENTRIES) },
    inboundPorts: { include: ports, exclude: ports },
    outboundPorts: { include: ports, exclude: [...ports, 15020] },
    excludeInterfaces: new Array(MAX_LIST_ENTRIES).fill("a".repeat(15)),
    rerouteVirtualInterfaces: new Array(MAX_GUEST_RULES / MAX_LIST_ENTRIES).fill("a".repeat(15)),
  };
  const bytes = encodePodRecord({ ...RECORD, capture: largest }) ?? assert.fail("not encoded");
  assert.ok(bytes.length <= MAX_POD_RECORD_BYTES);
  const tooLong = { ...largest, outboundIpRanges: { include: ranges(4096), exclude: [] } };
  assert.equal(encodePodRecord({ ...RECORD, capture: tooLong }), undefined);
  const tooMany = { ...largest, rerouteVirtualInterfaces: new Array(MAX_LIST_ENTRIES).fill("a") };
  assert.equal(encodePodRecord({ ...RECORD, capture: tooMany }), undefined);
});

test("a file's name is a UID of letters, digits and dashes, or there is none", () => {
  assert.equal(recordFileName(POD.podUid), `${POD.podUid}.json`);
  assert.equal(podUidOfFile(`${POD.podUid}.json`), POD.podUid);
  for (const uid of ["", ".", "..", "../x", "a/b", "a.b", "a\0", "a\n", "-x", "x".repeat(65), "ä"]) {
    assert.equal(recordFileName(uid), undefined, JSON.stringify(uid));
    assert.equal(podUidOfFile(`${uid}.json`), undefined, JSON.stringify(uid));
  }
  for (const name of ["", "x", "x.json.tmp", ".json", "x.json\n", "x.JSON"]) {
    assert.equal(podUidOfFile(name), undefined, JSON.stringify(name));
  }
});

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
