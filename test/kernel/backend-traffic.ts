// A pod under traffic: connections that are held open, others that are made without end, in both directions and both families,
// and who answered each of them.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { FAMILIES } from "../../src/core/address.ts";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { compileStatic } from "../../testbed/node/compile.ts";

const ECHO = compileStatic(`${import.meta.dirname}/backend-echo.c`);
const POD = { 4: "10.99.0.2", 6: "fd99::2" } as const;
const OUTSIDE = { 4: "10.99.0.1", 6: "fd99::1" } as const;
const APPLICATION_PORT = 8080;
const SERVER_PORT = 9000;

/** A pod with a proxy's two ports (of a sidecar or of ztunnel, they are the same) and an application, and somebody outside
 * who listens and connects. */
export async function startPodWithTraffic(mode: PodCapture["mode"]) {
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
  const paths = FAMILIES.flatMap((family) => [
    { family, where: outside, ip: POD[family], port: APPLICATION_PORT, expected: "15006" },
    { family, where: netns, ip: OUTSIDE[family], port: SERVER_PORT, expected: "15001" },
  ]);
  async function begin(
    list: typeof held,
    verb: "hold" | "hammer",
    families: readonly (4 | 6)[] = [4, 6],
  ): Promise<void> {
    for (const { where, ip, port, expected } of paths.filter(({ family }) => families.includes(family))) {
      list.push({ child: await start(where, verb, ip, String(port)), expected });
    }
  }
  const pod = {
    netns,
    hold: () => pod.holdOnly(4, 6),
    async holdOnly(...families: (4 | 6)[]) {
      await begin(held, "hold", families);
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
    /** New connections, in both directions and families, are answered by applications and not by the proxy. */
    async assertNewPassBy() {
      for (const { where, ip, port } of paths) {
        const child = await start(where, "hold", ip, String(port));
        assert.equal(child.firstLine, String(port));
        await child.stop();
      }
    },
    /** Ends every connection that is held open. */
    async letGo() {
      for (const { child } of held.splice(0)) await child.stop();
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
  /** The next line it prints, undefined when it has ended; waits 60 s at most. */
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
      const timer = setTimeout(() => reject(new Error(`Cannot go on: ${argv.join(" ")} says nothing`)), 60_000);
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
