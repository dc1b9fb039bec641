// The stage of the case table: a pod, a peer and a guest behind the pod's virtual interface, each a network namespace, with
// the applications that answer, and one process that asks. Nothing is left when it is disposed of.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Family } from "../../src/core/address.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { type RunningCommand, startCommand } from "../../testbed/node/command.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { APPLICATION_PORTS, type Mode, PLACES, type Place, type User } from "./case-table-probes.ts";

const SIDECAR_PROGRAMS = `${import.meta.dirname}/../../testbed/sidecar`;
export const NETTOOL = compileStatic(`${SIDECAR_PROGRAMS}/nettool.c`);
const PROBES = compileStatic(`${SIDECAR_PROGRAMS}/probes.c`);
const PROBE_TIMEOUT_MS = 3000;
const ANSWERS_TIMEOUT_MS = 60_000;

/** The order in which the asking process knows the namespaces. */
const NETNS_ORDER = ["pod", "peer", "guest"] as const;

/** One question, in addresses. */
export interface Question {
  readonly from: (typeof NETNS_ORDER)[number];
  readonly protocol: "tcp" | "udp" | "invalid";
  readonly user: User;
  readonly source: string | undefined;
  readonly sourcePort: number;
  readonly mark: number;
  readonly destination: string;
  readonly port: number;
}

export type Stage = Awaited<ReturnType<typeof createStage>>;

/** Builds it with addresses of these families, and applications on these ports. */
export async function createStage(
  families: readonly Family[],
  applicationPorts: Readonly<Record<"pod" | "peer", readonly string[]>> = APPLICATION_PORTS,
) {
  await using resources = new AsyncDisposableStack();
  const [pod, peer, guest] = [0, 1, 2].map(() => resources.use(createNetns())) as [TestNetns, TestNetns, TestNetns];
  connect({ pod, peer, guest }, families);
  for (const [netns, ports] of [
    [pod, applicationPorts.pod],
    [peer, applicationPorts.peer],
  ] as const) {
    await listen(resources, [NETTOOL, "--netns", netns.path, "serve", ...ports]);
  }
  const asker = resources.use(startAsking([pod, peer, guest]));
  const owned = resources.move();
  return {
    pod,
    peer,
    families,
    ask: asker.ask,
    /** The stand-in for the proxy; its sockets belong to `user`. */
    startProxy(user: User, mode: Mode): Promise<RunningCommand> {
      const flags = ["--dns", "--owner", `${user.uid}:${user.gid}`, ...(mode === "TPROXY" ? ["--transparent"] : [])];
      return listen(undefined, [NETTOOL, "--netns", pod.path, "sidecar", ...flags]);
    },
    /** The stand-in for ztunnel. */
    startZtunnel: (): Promise<RunningCommand> => listen(undefined, [NETTOOL, "--netns", pod.path, "ztunnel"]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Links, addresses and routes. */
function connect(netns: Record<"pod" | "peer" | "guest", TestNetns>, families: readonly Family[]): void {
  const { pod, peer, guest } = netns;
  const settings = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"];
  const settings6 = ["net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.forwarding=1"];
  for (const each of [pod, peer, guest]) each.mustExec(["sysctl", "-q", "-w", ...settings, ...settings6]);
  pod.mustExec(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  batch(pod, [
    `link add eth0 type veth peer name eth0 netns ${peer.path}`,
    `link add eth1 type veth peer name eth1 netns ${peer.path}`,
    `link add vnet0 type veth peer name eth0 netns ${guest.path}`,
    ...["eth0", "eth1", "vnet0"].map((name) => `link set ${name} up`),
  ]);
  batch(peer, ["link set eth0 up", "link set eth1 up"]);
  batch(guest, ["link set eth0 up"]);
  for (const family of families) {
    const [link, host, everywhere] = family === 4 ? [24, 32, "0.0.0.0/0"] : [64, 128, "::/0"];
    const add = (place: Place, name: string, length = link): string =>
      `addr add ${PLACES[place][family]}/${length} dev ${name}${family === 6 ? " nodad" : ""}`;
    const route = (to: string, via: Place): string => `route add ${to} via ${PLACES[via][family]}`;
    batch(peer, [
      add("peer", "eth0"),
      add("peer's eth1", "eth1"),
      ...(["range", "hole", "elsewhere", "probe source"] as const).map((place) => add(place, "lo", host)),
    ]);
    batch(guest, [add("guest", "eth0")]);
    batch(pod, [add("pod", "eth0"), add("pod's eth1", "eth1"), add("pod's vnet0", "vnet0"), route(everywhere, "peer")]);
    batch(peer, [route(family === 4 ? "10.77.2.0/24" : "fd77:0:0:2::/64", "pod")]);
    batch(guest, [route(everywhere, "pod's vnet0")]);
  }
}

function batch(netns: TestNetns, lines: readonly string[]): void {
  netns.mustExec(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** Starts a program that listens, and waits until it does. */
export async function listen(
  owner: AsyncDisposableStack | undefined,
  argv: readonly string[],
): Promise<RunningCommand> {
  const command = startCommand(argv);
  owner?.use(command);
  await command.waitForLine((line) => line.includes('"listening"'));
  return command;
}

/** One process for all questions: each is asked in its namespace when the one before is answered. */
export function startAsking(netns: readonly TestNetns[]) {
  const child = spawn(PROBES, [String(PROBE_TIMEOUT_MS), ...netns.map(({ path }) => path)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    /** One answer for each question, in the words of testbed/sidecar/probes.c. */
    async ask(questions: readonly Question[]): Promise<string[]> {
      child.stdin.write(questions.map((question) => `${renderQuestion(question)}\n`).join(""));
      const { promise, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error("Cannot go on: questions stay unanswered")), ANSWERS_TIMEOUT_MS);
      const texts: string[] = [];
      try {
        for (const question of questions) {
          const line = await Promise.race([answers.next(), promise]);
          if (line.done === true) throw new Error(`Cannot ask ${renderQuestion(question)}: the process has ended`);
          texts.push(line.value);
        }
      } finally {
        clearTimeout(timer);
      }
      return texts;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function renderQuestion(question: Question): string {
  const { from, protocol, user, source, sourcePort, mark, destination, port } = question;
  const who = `${NETNS_ORDER.indexOf(from)} ${protocol} ${user.uid}:${user.gid}`;
  return `${who} ${source ?? "-"} ${sourcePort} ${mark} ${destination} ${port}`;
}
