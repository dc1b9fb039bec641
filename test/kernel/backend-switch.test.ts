// Pods that change dialect while they talk: connections that are open stay, and every new one is captured.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { backendOf, DIALECTS, generationOf, rulesIn } from "./backend-fixture.ts";

const ECHO = compileStatic(`${import.meta.dirname}/backend-echo.c`);
const POD = { 4: "10.99.0.2", 6: "fd99::2" } as const;
const OUTSIDE = { 4: "10.99.0.1", 6: "fd99::1" } as const;
const APPLICATION_PORT = 8080;
const SERVER_PORT = 9000;
const BOTH = { v4: true, v6: true } as const;

for (const mode of ["REDIRECT", "TPROXY"] as const) {
  for (const from of DIALECTS) {
    for (const to of DIALECTS.filter((dialect) => dialect !== from)) {
      test(`${mode}: from ${from} to ${to} and back under traffic no connection is lost and none passes by`, async () => {
        const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode, families: BOTH };
        await using pod = await startPod(mode);
        await backendOf(from).apply(pod.netns.fd, capture);
        await pod.startTraffic();
        const there = await backendOf(to).apply(pod.netns.fd, capture);
        assert.deepEqual({ ...there, repaired: [] }, { dialect: to, changed: true, replaced: [from], repaired: [] });
        await pod.assertHeldAnswer();
        assert.deepEqual(await backendOf(to).drift(pod.netns.fd, capture), []);
        assert.deepEqual(dialectsIn(pod.netns), [to]);
        const back = await backendOf(from).apply(pod.netns.fd, capture);
        assert.deepEqual(back.replaced, [to]);
        await pod.assertHeldAnswer();
        assert.deepEqual(dialectsIn(pod.netns), [from]);
        await pod.assertAllCaptured();
      });
    }
  }

  for (const to of DIALECTS) {
    test(`${mode}: a pod prepared by upstream's iptables is taken over as ${to} under traffic`, async () => {
      const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode, families: BOTH };
      await using pod = await startPod(mode);
      for (const ruleset of sidecarRules(capture)) restoreAsUpstream(pod.netns, ruleset);
      prepareRoutingAsUpstream(pod.netns, mode);
      await pod.startTraffic();
      const generation = generationOf(pod.netns);
      const taken = await backendOf(to).apply(pod.netns.fd, capture);
      if (to === "iptables-nft") {
        assert.deepEqual(taken, { dialect: to, changed: false, replaced: [], repaired: [] });
        assert.equal(generationOf(pod.netns), generation);
      } else assert.deepEqual(taken.replaced, ["iptables-nft"]);
      await pod.assertHeldAnswer();
      assert.deepEqual(dialectsIn(pod.netns), [to]);
      await pod.assertAllCaptured();
    });
  }

  test(`${mode}: rules of upstream that lost a chain and gained a rule are repaired in place under traffic`, async () => {
    const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode, families: BOTH };
    await using pod = await startPod(mode);
    for (const ruleset of sidecarRules(capture)) restoreAsUpstream(pod.netns, ruleset);
    prepareRoutingAsUpstream(pod.netns, mode);
    await pod.hold();
    pod.netns.mustExec(["iptables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT"]);
    pod.netns.mustExec(["ip6tables-nft", "-t", "nat", "-I", "ISTIO_OUTPUT", "2", "-p", "tcp", "-j", "RETURN"]);
    const repair = await backendOf("iptables-nft").apply(pod.netns.fd, capture);
    assert.deepEqual(repair.repaired, [
      "chain nat/ISTIO_OUTPUT of IPv4 was altered",
      "chain nat/ISTIO_OUTPUT of IPv6 was altered",
    ]);
    await pod.assertHeldAnswer();
    await pod.hammer();
    await pod.assertAllCaptured();
  });
}

test("a TPROXY pod that died half way through a change of dialect is captured, and the next apply finishes it", async () => {
  const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families: BOTH };
  const whole = backendOf("iptables-nft");
  using reference = createNetns();
  await whole.apply(reference.fd, capture);
  await using pod = await startPod("TPROXY");
  await backendOf("iptables-legacy").apply(pod.netns.fd, capture);
  // What stands between the second and the third step: both sets, both saving the mark on the way out.
  for (const tool of ["iptables-legacy", "iptables-nft"] as const) {
    if (tool === "iptables-nft") for (const rules of sidecarRules(capture)) restoreAsUpstream(pod.netns, rules);
    for (const family of ["", "6"]) {
      const mangle = [tool.replace("ip", `ip${family}`), "-t", "mangle"];
      const save = ["-p", "tcp", "-m", "mark", "--mark", "0x539", "-j", "CONNMARK", "--save-mark"];
      pod.netns.mustExec([...mangle, "-D", "PREROUTING", ...save]);
      pod.netns.mustExec([...mangle, "-I", "OUTPUT", "1", "-o", "lo", ...save]);
    }
  }
  await pod.startTraffic();
  assert.deepEqual((await whole.apply(pod.netns.fd, capture)).replaced, ["iptables-legacy"]);
  await pod.assertHeldAnswer();
  assert.deepEqual(rulesIn(pod.netns), rulesIn(reference));
  await pod.assertAllCaptured();
});

/** A pod with a proxy's two ports and an application, and somebody outside who listens and connects. */
async function startPod(mode: SidecarCapture["mode"]) {
  const netns = createNetns();
  const outside = createNetns();
  const link = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", outside.path];
  netns.mustExec(link);
  for (const [side, addresses, gateway] of [
    [netns, POD, OUTSIDE],
    [outside, OUTSIDE, undefined],
  ] as const) {
    side.mustExec(["ip", "addr", "add", `${addresses[4]}/24`, "dev", "eth0"]);
    side.mustExec(["ip", "-6", "addr", "add", `${addresses[6]}/64`, "dev", "eth0", "nodad"]);
    side.mustExec(["ip", "link", "set", "eth0", "up"]);
    if (gateway !== undefined) side.mustExec(["ip", "route", "add", "default", "via", gateway[4]]);
  }
  const children: Child[] = [];
  const start = async (where: TestNetns, ...args: string[]): Promise<Child> => {
    const child = startIn(where, [ECHO, ...args]);
    children.push(child);
    child.firstLine = await child.next();
    return child;
  };
  const transparent = mode === "TPROXY" ? ["--transparent"] : [];
  await start(netns, "serve", ...transparent, "15001", "15006");
  await start(netns, "serve", String(APPLICATION_PORT));
  await start(outside, "serve", String(SERVER_PORT));

  const held: { readonly child: Child; readonly expected: string }[] = [];
  const hammers: { readonly child: Child; readonly expected: string }[] = [];
  const paths = ([4, 6] as const).flatMap((family) => [
    { where: outside, ip: POD[family], port: APPLICATION_PORT, expected: "15006" },
    { where: netns, ip: OUTSIDE[family], port: SERVER_PORT, expected: "15001" },
  ]);
  async function begin(list: typeof held, verb: "hold" | "hammer"): Promise<void> {
    for (const { where, ip, port, expected } of paths) {
      list.push({ child: await start(where, verb, ip, String(port)), expected });
    }
  }
  const pod = {
    netns,
    hold: async () => {
      await begin(held, "hold");
      assert.deepEqual(
        held.map(({ child }) => child.firstLine),
        held.map(({ expected }) => expected),
      );
    },
    hammer: () => begin(hammers, "hammer"),
    async startTraffic() {
      await pod.hold();
      await pod.hammer();
    },
    /** Every connection that was open still is, and the same side answers. */
    async assertHeldAnswer() {
      for (const { child, expected } of held) {
        child.write("\n");
        assert.equal(await child.next(), expected);
      }
    },
    /** Every connection made since was answered, by the proxy and nobody else. */
    async assertAllCaptured() {
      for (const { child, expected } of hammers) {
        child.end();
        const line = (await child.next()) ?? "nothing";
        assert.match(line, new RegExp(`^${expected}=[0-9]+ failed=0$`), `expected ${expected} only, got ${line}`);
      }
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) await child.stop();
      netns[Symbol.dispose]();
      outside[Symbol.dispose]();
    },
  };
  return pod;
}

interface Child {
  firstLine: string | undefined;
  /** The next line it prints, undefined when it has ended; waits 20 s at most. */
  next(): Promise<string | undefined>;
  write(text: string): void;
  end(): void;
  stop(): Promise<void>;
}

function startIn(netns: TestNetns, argv: readonly [string, ...string[]]): Child {
  const [file, ...args] = argv;
  const child: ChildProcess = netns.run(() => spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] }));
  const { stdin, stdout } = child;
  assert.ok(stdin !== null && stdout !== null);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return {
    firstLine: undefined,
    async next() {
      const { promise, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`Cannot go on: ${argv.join(" ")} says nothing`)), 20_000);
      const line = await Promise.race([lines.next(), promise]).finally(() => clearTimeout(timer));
      return line.done === true ? undefined : line.value;
    },
    write: (text) => void stdin.write(text),
    end: () => void stdin.end(),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function restoreAsUpstream(netns: TestNetns, ruleset: Ruleset): void {
  const tool = ruleset.family === 6 ? "ip6tables-nft-restore" : "iptables-nft-restore";
  netns.mustExec([tool, "--noflush"], { input: renderIptables(ruleset) });
}

/** Contract 5.6: no mask, no priority. */
function prepareRoutingAsUpstream(netns: TestNetns, mode: SidecarCapture["mode"]): void {
  netns.mustExec(["ip", "-6", "addr", "add", "::6/128", "dev", "lo"]);
  if (mode !== "TPROXY") return;
  for (const [family, everything] of [
    ["-4", "0.0.0.0/0"],
    ["-6", "::/0"],
  ] as const) {
    netns.mustExec(["ip", family, "rule", "add", "fwmark", "1337", "lookup", "133"]);
    netns.mustExec(["ip", family, "route", "add", "local", everything, "dev", "lo", "table", "133"]);
  }
}

/** The dialects that have rules in the namespace. */
function dialectsIn(netns: TestNetns): BackendDialect[] {
  const lines = rulesIn(netns);
  return DIALECTS.filter((dialect) =>
    lines.some((line) => {
      if (dialect === "nftables") return line.startsWith("table inet istio-proxy-");
      return line.split(" ")[0]?.endsWith(dialect === "iptables-nft" ? "-nft-save" : "-legacy-save") === true;
    }),
  );
}
