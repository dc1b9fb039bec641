import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCidr, parseIpAddress } from "../address.ts";
import type { BaseChain, Rule, Ruleset } from "../rules/model.ts";
import { sidecarInetRules, sidecarRules } from "../rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { renderTrace } from "./render-trace.ts";
import { TRACE_DOCUMENT } from "./trace-document.ts";
import { type TracedNetns, tracePod } from "./trace-pod.ts";
import { parseTraceQuery, readTraceTexts } from "./trace-query.ts";

const CAPTURE = { ...DEFAULT_SIDECAR_CAPTURE, families: { v4: true, v6: true } };
const OURS = sidecarRules(CAPTURE);
const OPAQUE = { kind: "opaque", summary: "match bpf revision 1" } as const;

function ip(text: string) {
  return parseIpAddress(text) ?? assert.fail(text);
}

const NETNS: TracedNetns = {
  rulesets: OURS,
  deviceChains: [],
  unread: undefined,
  addresses: [
    { ip: ip("127.0.0.1"), interfaceIndex: 1 },
    { ip: ip("10.1.0.7"), interfaceIndex: 2 },
    { ip: ip("192.168.7.7"), interfaceIndex: 3 },
    { ip: ip("fd00::7"), interfaceIndex: 2 },
  ],
  interfaces: new Map([
    [1, "lo"],
    [2, "eth0"],
    [3, "net1"],
  ]),
  route: ({ destination }) => ({
    kind: "out",
    interfaceIndex: 2,
    source: ip(destination.family === 4 ? "10.1.0.7" : "fd00::7"),
  }),
};

function ask(query: string, netns: Partial<TracedNetns> = {}, capture: typeof CAPTURE | "none" = CAPTURE) {
  const parsed = parseTraceQuery(readTraceTexts(new URLSearchParams(query)));
  assert.ok(!("message" in parsed), JSON.stringify(parsed));
  return tracePod(parsed, { ...NETNS, ...netns }, capture === "none" ? undefined : capture);
}

function tell(...args: Parameters<typeof ask>) {
  const told = ask(...args);
  assert.ok(!("problem" in told), JSON.stringify(told));
  return told;
}

const OUT = "to=10.2.0.9:80";
const IN = "in=true&from=10.2.0.9&port=80";

function foreign(name: string, rules: readonly Rule[], chain: Partial<BaseChain> = {}): Ruleset {
  const base = { kind: "base", name: "out", type: "filter", hook: "output", priority: 0, policy: "accept" } as const;
  return { family: 4, tables: [{ name, chains: [{ ...base, ...chain, rules }] }] };
}

const rule = (verdict: Rule["verdict"], matches: Rule["matches"] = []): Rule => ({ intent: "", matches, verdict });

test("tracePod() tells what is redirected, to where, and by which rules of the pod's own", () => {
  const out = tell(OUT);
  assert.partialDeepStrictEqual(out, { verdict: "redirected", how: "REDIRECT", port: 15001, mark: 0, omittedSteps: 0 });
  assert.match(out.explanation, /port 15001 of the pod, where the proxy takes what the pod sends/);
  assert.ok(out.steps.length > 1 && out.steps.every(({ isWanted, meaning }) => isWanted && meaning !== ""));
  assert.partialDeepStrictEqual(tell(IN), {
    verdict: "redirected",
    port: 15006,
    packet: { interface: "eth0", destination: "10.1.0.7", uid: null },
  });
  assert.partialDeepStrictEqual(tell(`${OUT}&uid=1337`), { verdict: "passed", port: null });
  const native = tell(OUT, { rulesets: [sidecarInetRules(CAPTURE)] });
  assert.ok(native.steps.every(({ family, isWanted }) => family === "inet" && isWanted));
  const tproxy = { ...CAPTURE, mode: "TPROXY" } as const;
  assert.partialDeepStrictEqual(tell(IN, { rulesets: sidecarRules(tproxy) }, tproxy), {
    how: "TPROXY",
    port: 15006,
    mark: 1337,
  });
});

test("tracePod() says of a rule that the pod should not have what it does", () => {
  const steps = tell(OUT, {}, "none").steps;
  assert.ok(
    steps.every(({ isWanted, meaning }) => !isWanted && meaning.startsWith("Not a rule this pod should have: ")),
  );
  const dropped = tell(OUT, { rulesets: [foreign("wall", [rule({ kind: "drop" })])] });
  assert.equal(dropped.explanation, "It is dropped in chain out of table wall");
  assert.equal(dropped.steps.at(-1)?.rule, "counter drop");
  const policy = tell(OUT, { rulesets: [foreign("wall", [], { policy: "drop" })] });
  assert.equal(policy.explanation, "It is dropped by the policy of chain out of table wall");
  assert.equal(policy.steps.at(-1)?.rule, null);
});

test("tracePod() does not know where a rule that is not understood is met, and knows where it is not", () => {
  const net = parseCidr("10.2.0.0/16");
  assert.ok(net !== undefined);
  const at = foreign("wall", [rule(OPAQUE, [{ kind: "destination", cidr: net, negated: false }, OPAQUE])]);
  const rulesets = [...OURS, at];
  const met = tell(`${OUT}&uid=1337`, { rulesets });
  assert.equal(met.verdict, "unknown");
  assert.match(
    met.explanation,
    /^Chain out of table wall decides on the packet .*: match bpf revision 1 is not understood$/,
  );
  assert.ok(met.steps.length > 0, "what happened before is told");
  assert.equal(tell("to=10.3.0.9:80&uid=1337", { rulesets }).verdict, "passed");
  assert.equal(tell("to=[fd00::9]:80&uid=1337", { rulesets }).verdict, "passed", "a table of IPv4");
});

test("tracePod() does not know where chains of one priority differ, and knows where their order is the same to it", () => {
  const priority = { priority: -100, type: "nat", name: "OUTPUT" } as const;
  const other = foreign("nat2", [rule({ kind: "redirect", port: 9999 })], priority);
  for (const rulesets of [
    [...OURS, other],
    [other, ...OURS],
  ]) {
    const told = tell(OUT, { rulesets });
    assert.equal(told.verdict, "unknown");
    assert.match(told.explanation, /"redirected to (15001|9999)" or as "redirected to (15001|9999)"/);
  }
  const harmless = foreign("nat2", [rule({ kind: "return" })], priority);
  assert.equal(tell(OUT, { rulesets: [...OURS, harmless] }).verdict, "redirected");
});

test("tracePod() does not know what meets the packet at its interface, or stands in tables that nobody reads", () => {
  const deviceChains = [{ table: "early", chain: "in", direction: "inbound" }] as const;
  assert.equal(tell(IN, { deviceChains }).verdict, "unknown");
  assert.equal(tell(OUT, { deviceChains }).verdict, "redirected");
  const unread = "there are tables of iptables-legacy (nat), and no program here reads them";
  assert.equal(tell(OUT, { unread }).explanation, `Not all rules could be read: ${unread}`);
});

test("tracePod() asks the kernel for the way, once more when a mark changes it", () => {
  const none = tell(OUT, { route: () => ({ kind: "none", errno: 101 }) });
  assert.deepEqual([none.verdict, none.packet.interface, none.packet.source], ["dropped", null, "0.0.0.0"]);
  assert.match(none.explanation, /knows no way from here to 10\.2\.0\.9 \(errno 101\)/);
  const toItself = tell("to=10.1.0.7:80", {
    route: ({ destination }) => ({ kind: "local", interfaceIndex: 2, source: destination }),
  });
  assert.deepEqual([toItself.verdict, toItself.packet.interface], ["passed", "lo"]);
  const marks = foreign("mangle", [rule({ kind: "set-xmark", value: 7, mask: 0xffffffff })], {
    type: "route",
    priority: -150,
  });
  const asked: number[] = [];
  const lost = tell(`${OUT}&uid=1337`, {
    rulesets: [marks],
    route: ({ mark }) => {
      asked.push(mark);
      return mark === 7 ? { kind: "none", errno: 101 } : { kind: "out", interfaceIndex: 2, source: undefined };
    },
  });
  assert.deepEqual([lost.verdict, lost.mark, asked], ["dropped", 7, [0, 7]]);
  assert.match(lost.explanation, /the kernel knows no way for the mark that chain out of table mangle gave it/);
  assert.equal(lost.packet.source, "10.1.0.7", "the address of the interface, where the kernel names none");
});

test("tracePod() refuses packets that cannot be", () => {
  const problem = (query: string, netns: Partial<TracedNetns> = {}): string => {
    const told = ask(query, netns);
    return "problem" in told ? told.problem : assert.fail(told.verdict);
  };
  assert.match(
    problem(`${IN}&to=10.1.0.8`),
    /^10\.1\.0\.8 is no address of the pod; it has 10\.1\.0\.7, 192\.168\.7\.7$/,
  );
  assert.match(problem("in=true&from=10.1.0.7&port=80"), /is the pod itself/);
  assert.match(problem("in=true&from=127.0.0.1&port=80"), /is the pod itself/);
  assert.match(problem(IN, { addresses: [] }), /^the pod has no IPv4 address$/);
  const nowhere = { addresses: [], route: () => ({ kind: "out", interfaceIndex: 9, source: undefined }) as const };
  assert.match(problem(OUT, nowhere), /tells no address from which/);
  assert.equal(tell(`${IN}&to=192.168.7.7`).packet.interface, "net1", "by the interface that has the address");
});

test("renderTrace() tells a trace with nothing that a terminal obeys", () => {
  const evil = "\u001b[2Jwall";
  const told = tell(OUT, {
    rulesets: [...OURS, foreign(evil, [rule({ kind: "drop" })], { name: evil, hook: "input" })],
  });
  const document = {
    schemaVersion: 1,
    at: "2026-01-02T03:04:05.000Z",
    node: "node-1",
    pod: { namespace: "shop", name: "web", uid: "u1" },
    netns: { inode: "4026532733", source: "add" },
    ...told,
    tookMs: 1,
  } as const;
  assert.deepEqual(TRACE_DOCUMENT.read(JSON.parse(JSON.stringify(document)), ""), document);
  const text = renderTrace(document, false);
  assert.ok(!text.includes("\u001b"));
  assert.match(text, /^Pod +shop\/web, network namespace 4026532733\n/);
  assert.match(
    text,
    /^Packet +ipv4 tcp 10\.1\.0\.7:40000 -> 10\.2\.0\.9:80, out by eth0, the first of its connection$/m,
  );
  assert.match(text, /^Sent +by a process of user 0 and group 0$/m);
  assert.match(text, /^Verdict +dropped\n +It is dropped in chain \\u\{1b\}\[2Jwall of table \\u\{1b\}\[2Jwall$/m);
  const coloured = renderTrace(document, true);
  assert.equal(coloured.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9]+m`, "g"), ""), text);
  assert.notEqual(coloured, text);
});
