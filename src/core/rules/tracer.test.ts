import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { FAMILIES, type Family, parseIpAddress } from "../address.ts";
import type { Packet } from "./match-packet.ts";
import type { Rule, Ruleset } from "./model.ts";
import { sidecarInetRules, sidecarRules } from "./sidecar.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { TraceError, trace } from "./tracer.ts";

const POD = { 4: "10.1.0.7", 6: "fd00:1::7" } as const;
const PEER = { 4: "10.2.0.9", 6: "fd00:2::9" } as const;
const LOOPBACK = { 4: "127.0.0.1", 6: "::1" } as const;
const PASSTHROUGH = { 4: "127.0.0.6", 6: "::6" } as const;
const PROXY = { uid: 1337, gid: 1337 };
const APP = { uid: 1000, gid: 1000 };
const DIALECTS = [sidecarRules, (capture: SidecarCapture) => [sidecarInetRules(capture)]];
const OPAQUE = { kind: "opaque", summary: "match set revision 4" } as const;

/** What is sent, from where to where. Fields left out: TCP, port 9000, by eth0 (out) or to the pod (in). */
type Sent = Partial<Omit<Packet, "source" | "destination">> & {
  from?: Record<Family, string>;
  to?: Record<Family, string>;
};

/** case, direction, packet, end, and what else must hold */
type Row = [
  name: string,
  direction: "inbound" | "outbound",
  sent: Sent,
  end: string | Record<Family, string>,
  rest?: Partial<Record<string, number>>,
];

const TO_POD: Sent = { from: PEER, to: POD, dport: 8080 };
const TO_PEER: Sent = { from: POD, to: PEER, dport: 9000, owner: APP };
const UDP = "udp" as const;

const ROWS: Row[] = [
  // baseline 5.5: the packets that must be captured, in both families
  ["default", "inbound", TO_POD, "redirected 15006"],
  ["default", "outbound", TO_PEER, "redirected 15001"],
  // the proxy's own ports and connections
  ["default", "inbound", { ...TO_POD, dport: 15008 }, "untouched"],
  ["default", "inbound", { ...TO_POD, dport: 15020 }, "untouched"],
  ["default", "inbound", { ...TO_POD, dport: 15021 }, "untouched"],
  ["default", "inbound", { ...TO_POD, dport: 15090 }, "untouched"],
  ["default", "outbound", { ...TO_PEER, owner: PROXY }, "untouched"],
  ["default", "outbound", { ...TO_PEER, owner: { uid: 1337, gid: 0 } }, "untouched"],
  ["default", "outbound", { ...TO_PEER, owner: { uid: 0, gid: 1337 } }, "untouched"],
  ["default", "outbound", { ...TO_PEER, dport: 15020 }, "untouched"],
  ["default", "outbound", { ...TO_PEER, dport: 53 }, "redirected 15001"],
  ["default", "outbound", { ...TO_PEER, dport: 53, protocol: UDP }, "untouched"],
  ["default", "inbound", { ...TO_POD, protocol: UDP }, "untouched"],
  // on lo: the application to localhost and to its own address; the proxy back to the pod; passthrough
  ["default", "outbound", { ...TO_PEER, to: LOOPBACK, from: LOOPBACK, interface: "lo" }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: POD, interface: "lo" }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: POD, owner: PROXY, interface: "lo" }, "redirected 15006"],
  ["default", "outbound", { ...TO_PEER, to: POD, owner: PROXY, interface: "lo", dport: 15008 }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: LOOPBACK, owner: PROXY, interface: "lo" }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: POD, from: PASSTHROUGH, owner: PROXY, interface: "lo" }, "untouched"],
  // istio-validation (contract 5.10): uid 1337 from 127.0.0.1 to 127.0.0.6:15002 comes back on 15006; ::6 likewise
  [
    "default",
    "outbound",
    { to: PASSTHROUGH, from: LOOPBACK, dport: 15002, owner: PROXY, interface: "lo" },
    "redirected 15006",
  ],
  [
    "tproxy",
    "outbound",
    { to: PASSTHROUGH, from: LOOPBACK, dport: 15002, owner: PROXY, interface: "lo" },
    "redirected 15006",
  ],
  // inbound ports
  ["inbound-port-list", "inbound", { ...TO_POD, dport: 80 }, "redirected 15006"],
  ["inbound-port-list", "inbound", { ...TO_POD, dport: 81 }, "untouched"],
  ["no-inbound", "inbound", TO_POD, "untouched"],
  ["no-inbound", "outbound", TO_PEER, "redirected 15001"],
  // outbound ranges and ports
  ["no-outbound", "outbound", TO_PEER, "untouched"],
  ["no-outbound", "outbound", { ...TO_PEER, to: POD, owner: PROXY, interface: "lo" }, "redirected 15006"],
  ["outbound-ranges", "outbound", { ...TO_PEER, to: { 4: "10.200.0.1", 6: "fd55::1" } }, "redirected 15001"],
  ["outbound-ranges", "outbound", { ...TO_PEER, to: { 4: "8.8.8.8", 6: "2606::1" } }, "untouched"],
  ["outbound-ranges", "outbound", { ...TO_PEER, to: { 4: "8.8.8.8", 6: "2606::1" }, dport: 443 }, "redirected 15001"],
  ["outbound-ranges", "outbound", { ...TO_PEER, to: { 4: "10.1.2.6", 6: "fd00:1:2::1" } }, "untouched"],
  ["outbound-ranges", "outbound", { ...TO_PEER, to: { 4: "10.1.2.6", 6: "fd00:1:2::1" }, dport: 443 }, "untouched"],
  ["outbound-ranges", "outbound", { ...TO_PEER, dport: 3306 }, "untouched"],
  [
    "loopback-included",
    "outbound",
    { ...TO_PEER, to: POD, interface: "lo", dport: 8443 },
    { 4: "redirected 15001", 6: "untouched" },
  ],
  // interfaces
  ["interfaces", "inbound", { ...TO_POD, interface: "eth1" }, "untouched"],
  ["interfaces", "outbound", { ...TO_PEER, interface: "net-2.x" }, "untouched"],
  ["interfaces", "inbound", { ...TO_POD, interface: "vnet0" }, "redirected 15001"],
  [
    "virtual-interface-ranges",
    "inbound",
    { ...TO_POD, to: { 4: "192.168.1.1", 6: "fd77::1" }, interface: "vnet1" },
    "redirected 15001",
  ],
  [
    "virtual-interface-ranges",
    "inbound",
    { ...TO_POD, to: { 4: "8.8.8.8", 6: "2606::1" }, interface: "vnet1" },
    "untouched",
  ],
  // owner groups
  ["owner-groups-excluded", "outbound", { ...TO_PEER, owner: { uid: 1, gid: 203 } }, "untouched"],
  ["owner-groups-excluded", "outbound", TO_PEER, "redirected 15001"],
  ["owner-groups-included", "outbound", { ...TO_PEER, owner: { uid: 1, gid: 203 } }, "redirected 15001"],
  ["owner-groups-included", "outbound", TO_PEER, "untouched"],
  // DNS
  ["dns", "outbound", { ...TO_PEER, dport: 53 }, "redirected 15053"],
  ["dns", "outbound", { ...TO_PEER, dport: 53, protocol: UDP }, "redirected 15053", { zone: 2 }],
  ["dns", "outbound", { ...TO_PEER, dport: 53, protocol: UDP, owner: PROXY }, "untouched", { zone: 1 }],
  ["dns", "outbound", { ...TO_PEER, dport: 53, owner: PROXY }, "untouched"],
  ["dns", "outbound", { ...TO_PEER, to: LOOPBACK, from: LOOPBACK, interface: "lo", dport: 53 }, "redirected 15053"],
  ["dns", "outbound", { ...TO_PEER, to: POD, interface: "lo", dport: 53, owner: PROXY }, "untouched"],
  // contract 5.4 row 19: port 53 is spared for the proxy's user, not for its group
  [
    "dns",
    "outbound",
    { ...TO_PEER, to: POD, interface: "lo", dport: 53, owner: { uid: 0, gid: 1337 } },
    "redirected 15006",
  ],
  [
    "dns",
    "inbound",
    { from: PEER, to: POD, sport: 53, dport: 40000, protocol: UDP, ctstate: "ESTABLISHED" },
    "untouched",
    { zone: 1 },
  ],
  ["dns", "outbound", TO_PEER, "redirected 15001", { zone: 0 }],
  // TPROXY
  ["tproxy", "inbound", TO_POD, "tproxied 15006", { mark: 1337 }],
  ["tproxy", "inbound", { ...TO_POD, ctstate: "ESTABLISHED" }, "untouched", { mark: 1337 }],
  ["tproxy", "inbound", { ...TO_POD, dport: 15020 }, "untouched", { mark: 0 }],
  ["tproxy", "outbound", TO_PEER, "redirected 15001", { mark: 0 }],
  ["tproxy", "outbound", { ...TO_PEER, to: POD, interface: "lo" }, "untouched", { mark: 0 }],
  [
    "tproxy",
    "outbound",
    { ...TO_PEER, to: POD, interface: "lo", owner: PROXY, mark: 1337 },
    "redirected 15006",
    { mark: 1337 },
  ],
  [
    "tproxy",
    "outbound",
    { ...TO_PEER, to: POD, from: PASSTHROUGH, interface: "lo", owner: PROXY },
    "untouched",
    { mark: 1338 },
  ],
  ["tproxy", "outbound", { ...TO_PEER, connmark: 1337, ctstate: "ESTABLISHED" }, "untouched", { mark: 1337 }],
  ["tproxy-inbound-port-list", "inbound", { ...TO_POD, dport: 443 }, "tproxied 15006"],
  ["tproxy-inbound-port-list", "inbound", { ...TO_POD, dport: 444 }, "untouched"],
  ["tproxy-no-inbound", "inbound", TO_POD, "untouched"],
  ["tproxy-interfaces", "inbound", { ...TO_POD, interface: "eth1" }, "untouched"],
  ["tproxy-dns-drop-invalid", "inbound", { ...TO_POD, ctstate: "INVALID" }, "dropped"],
  ["tproxy-dns-drop-invalid", "inbound", TO_POD, "tproxied 15006"],
  [
    "wide-loopback",
    "outbound",
    { ...TO_PEER, to: { 4: "127.8.8.8", 6: "::1" }, interface: "lo", owner: PROXY },
    "untouched",
  ],
];

for (const family of FAMILIES) {
  test(`IPv${family}: every packet of the table lands where it should, in both dialects`, () => {
    for (const [[name, direction, sent, end, rest], rulesOf] of ROWS.flatMap((row) =>
      DIALECTS.map((dialect) => [row, dialect] as const),
    )) {
      const result = trace(rulesOf(SIDECAR_CASES[name] ?? assert.fail(name)), packetOf(sent, family), direction);
      const seen = "port" in result.end ? `${result.end.kind} ${result.end.port}` : result.end.kind;
      const row = `${name} ${direction} ${JSON.stringify(sent)}\n${result.path.join("\n")}`;
      assert.equal(seen, typeof end === "string" ? end : end[family], row);
      for (const [field, value] of Object.entries(rest ?? {})) {
        assert.equal(field === "mark" ? result.mark : field === "zone" ? result.zone : result.connmark, value, row);
      }
    }
  });
}

const address = (texts: readonly Record<Family, string>[]) => fc.constantFrom(...texts);
const anyPacket = fc.record({
  from: address([POD, PEER, LOOPBACK, PASSTHROUGH]),
  to: address([POD, PEER, LOOPBACK, PASSTHROUGH, { 4: "10.1.2.6", 6: "fd00:1:2::1" }, { 4: "8.8.8.8", 6: "2606::1" }]),
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  sport: fc.constantFrom(33333, 53, 15053),
  dport: fc.constantFrom(8080, 80, 443, 53, 15008, 15020, 15021, 15090, 3306, 15002),
  interface: fc.constantFrom("eth0", "lo", "eth1", "vnet0"),
  owner: fc.constantFrom(PROXY, APP, { uid: 2000, gid: 203 }, { uid: 0, gid: 1337 }, { uid: 1337, gid: 202 }),
  mark: fc.constantFrom(0, 1337, 1338),
  connmark: fc.constantFrom(0, 1337),
  ctstate: fc.constantFrom("NEW" as const, "ESTABLISHED" as const, "INVALID" as const),
});

test("both dialects do the same to any packet", () => {
  const direction = fc.constantFrom("inbound" as const, "outbound" as const);
  const name = fc.constantFrom(...Object.keys(SIDECAR_CASES));
  fc.assert(
    fc.property(name, anyPacket, fc.constantFrom(...FAMILIES), direction, (caseName, sent, family, way) => {
      const capture = SIDECAR_CASES[caseName] ?? assert.fail();
      // Upstream's native rules drop invalid packets of TCP only (contract 5.5 row 4).
      if (capture.dropInvalid && sent.ctstate === "INVALID" && sent.protocol === "udp") return;
      const [iptables, native] = DIALECTS.map((rulesOf) => {
        const { path: _, steps: _steps, ...result } = trace(rulesOf(capture), packetOf(sent, family), way);
        return result;
      });
      assert.deepEqual(iptables, native);
    }),
    { numRuns: 2000 },
  );
});

test("a pod whose IPv6 is not captured has IPv6 packets untouched", () => {
  const capture = { ...(SIDECAR_CASES["default"] ?? assert.fail()), families: { v4: true, v6: false } };
  assert.deepEqual(trace(sidecarRules(capture), packetOf(TO_PEER, 6), "outbound").end, { kind: "untouched" });
  assert.deepEqual(trace(sidecarRules(capture), packetOf(TO_PEER, 4), "outbound").end, {
    kind: "redirected",
    port: 15001,
  });
});

test("the path names every rule that matched, in order", () => {
  const { path } = trace(sidecarRules(SIDECAR_CASES["default"] ?? assert.fail()), packetOf(TO_POD, 4), "inbound");
  assert.deepEqual(path, [
    "nat -A PREROUTING -p tcp -j ISTIO_INBOUND",
    "nat -A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
    "nat -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
  ]);
});

test("trace() refuses what it does not understand, a jump into nothing and a jump in a circle", () => {
  const rules: Rule[] = [
    { intent: "", matches: [OPAQUE], verdict: { kind: "accept" } },
    { intent: "", matches: [], verdict: { kind: "jump", chain: "GONE" } },
    { intent: "", matches: [], verdict: { kind: "jump", chain: "ROUND" } },
  ];
  for (const rule of rules) {
    assert.throws(() => trace([rulesetOf(rule)], packetOf(TO_POD, 4), "inbound"), TraceError, JSON.stringify(rule));
  }
});

test("trace() says where it cannot go on, and what happened before", () => {
  const udpOnly: Rule = {
    intent: "",
    matches: [{ kind: "protocol", protocol: "udp", negated: false }, OPAQUE],
    verdict: OPAQUE,
  };
  const untouched = trace([rulesetOf(udpOnly)], packetOf(TO_POD, 4), "inbound");
  assert.deepEqual([untouched.end, untouched.steps], [{ kind: "untouched" }, []], "what is not asked needs no answer");
  const marked: Rule = { intent: "", matches: [], verdict: { kind: "set-xmark", value: 1, mask: 0xffffffff } };
  const logged: Rule = { intent: "", matches: [], verdict: OPAQUE };
  const error = failureOf(() => trace([rulesetOf(marked, logged)], packetOf(TO_POD, 4), "inbound"));
  assert.equal(error.message, "Cannot trace mangle PREROUTING: match set revision 4 is not understood");
  assert.deepEqual(error.place, { family: 4, table: "mangle", chain: "PREROUTING", hook: "prerouting" });
  assert.deepEqual(
    error.steps.map(({ what }) => what),
    [{ kind: "rule", rule: marked }],
    "the rule itself did not happen",
  );
});

test("trace() gives up where chains that jump to chains multiply", () => {
  const jumps = (chain: string): Rule[] => Array(8).fill({ intent: "", matches: [], verdict: { kind: "jump", chain } });
  const chains = Array.from({ length: 12 }, (_, at) => ({
    kind: "own" as const,
    name: `C${at}`,
    rules: at === 11 ? [] : jumps(`C${at + 1}`),
  }));
  const [table] = rulesetOf(...jumps("C0")).tables;
  assert.ok(table !== undefined);
  const wide: Ruleset = { family: 4, tables: [{ name: "mangle", chains: [...table.chains, ...chains] }] };
  const { detail } = failureOf(() => trace([wide], packetOf(TO_POD, 4), "inbound"));
  assert.equal(detail, "more than 50000 rules would have to be asked");
});

test("a chain's policy drops what no rule has decided, and is a step of its own", () => {
  const dropping = rulesetOf();
  const tables = dropping.tables.map(({ name, chains }) => ({
    name,
    chains: chains.map((chain) => (chain.kind === "base" ? { ...chain, policy: "drop" as const } : chain)),
  }));
  const { end, steps } = trace([{ family: 4, tables }], packetOf(TO_POD, 4), "inbound");
  assert.deepEqual(end, { kind: "dropped" });
  assert.deepEqual(steps, [
    { family: 4, table: "mangle", chain: "PREROUTING", hook: "prerouting", what: { kind: "policy" } },
  ]);
});

test("what goes to the pod itself passes POSTROUTING on its way", () => {
  const chain = { kind: "base", name: "POSTROUTING", type: "filter", hook: "postrouting", priority: 0 } as const;
  const drop: Rule = { intent: "", matches: [], verdict: { kind: "drop" } };
  const foreign: Ruleset = {
    family: 4,
    tables: [{ name: "filter", chains: [{ ...chain, policy: "accept", rules: [drop] }] }],
  };
  const rulesets = [...sidecarRules(SIDECAR_CASES["default"] ?? assert.fail()), foreign];
  assert.deepEqual(trace(rulesets, packetOf(TO_PEER, 4), "outbound").end, { kind: "dropped" });
});

test("a mark that a chain of type route sets routes the packet anew", () => {
  const chain = { kind: "base", name: "OUTPUT", type: "route", hook: "output", priority: -150 } as const;
  const mark: Rule = { intent: "", matches: [], verdict: { kind: "set-xmark", value: 7, mask: 0xffffffff } };
  const byLo: Rule = {
    intent: "",
    matches: [{ kind: "oifname", name: "lo", negated: false }],
    verdict: { kind: "drop" },
  };
  const after = { ...chain, name: "POSTROUTING", type: "filter", hook: "postrouting", rules: [byLo] } as const;
  const tables = [
    {
      name: "mangle",
      chains: [
        { ...chain, policy: "accept" as const, rules: [mark] },
        { ...after, policy: "accept" as const },
      ],
    },
  ];
  const end = (reroute: (mark: number) => string | undefined) =>
    trace([{ family: 4, tables }], packetOf(TO_PEER, 4), "outbound", { reroute });
  assert.deepEqual(end((value) => (value === 7 ? "eth1" : "lo")).end, { kind: "untouched" });
  assert.deepEqual(end((value) => (value === 7 ? "lo" : "eth1")).end, { kind: "dropped" });
  assert.deepEqual(end(() => undefined).steps.at(-1)?.what, { kind: "no-route" });
});

function failureOf(action: () => unknown): TraceError {
  try {
    action();
  } catch (error) {
    if (error instanceof TraceError) return error;
  }
  return assert.fail("nothing was refused");
}

function rulesetOf(...rules: Rule[]): Ruleset {
  const round: Rule = { intent: "", matches: [], verdict: { kind: "jump", chain: "ROUND" } };
  const base = {
    kind: "base",
    name: "PREROUTING",
    type: "filter",
    hook: "prerouting",
    priority: 0,
    policy: "accept",
  } as const;
  const chains = [{ ...base, rules }, { kind: "own", name: "ROUND", rules: [round] } as const];
  return { family: 4, tables: [{ name: "mangle", chains }] };
}

function packetOf({ from, to, ...rest }: Sent, family: Family): Packet {
  const address = (texts: Record<Family, string> | undefined) =>
    parseIpAddress((texts ?? POD)[family]) ?? assert.fail();
  const packet = { protocol: "tcp", sport: 33333, dport: 9000, interface: "eth0" } as const;
  return { ...packet, ...rest, source: address(from), destination: address(to) };
}
