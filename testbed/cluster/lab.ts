// A one-node Kubernetes, the shared lab's or our own (kubernetes/): set up once in .cache, brought up and down by a keeper
// (keep-lab) that takes it down whatever ends this process. One lab at a time on a machine: its cgroups are the machine's.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setns } from "../../src/platform/linux/libc.ts";
import { openNetns } from "../../src/platform/linux/netns.ts";
import { mustRun } from "../node/command.ts";
import { REPOSITORY } from "../node/repository.ts";
import { OWN_LAB } from "./find-cluster.ts";

/** A lab that is up. Disposing it takes it down and throws when something is left. */
export interface Lab extends AsyncDisposable {
  /** The lab's own script with its sub-commands, for instance `[script, "kubectl", …]`. */
  readonly script: string;
  /** Gone with the lab. */
  readonly stateDir: string;
  /** What the node has on its disk, seen from here: `/etc/cni/net.d`, `/opt/cni/bin`, … */
  readonly nodeDisk: string;
  /** A path of the running node as this process can open it, /run and the files of namespaces included. */
  nodePath(path: string): string;
  readonly kubeconfig: string;
  /** A power cut and the next start: /run is empty, the disk is kept. Returns when the node is Ready. */
  powerCut(): Promise<void>;
  /** Ends kube-apiserver, which starts again a second later: connections break, and it remembers no event. */
  restartApiServer(): Promise<void>;
  /** Moves this process (its main thread) into the node's network, where the API server listens, until disposed. */
  enterNetwork(): Disposable;
}

const LOCK = "/tmp/lab.lock";
/** Not the same: whoever has a lab up holds that for minutes. */
const SETUP_LOCK = "/tmp/lab-setup.lock";
const LOCK_WAIT_S = 900;
const UP_TIMEOUT_MS = (LOCK_WAIT_S + 300) * 1000;
/** Our own is built at first, at low priority: half an hour on two cores that have other work. */
const SETUP_TIMEOUT_MS = 90 * 60_000;
const REBOOT_TIMEOUT_MS = 240_000;
const DOWN_TIMEOUT_MS = 60_000;
const CLONE_NEWNET = 0x40000000;
/** What the lab's setup installs from apt where it is missing. */
const PROGRAMS = "containerd runc iptables ipset nft conntrack ip jq bc pgrep nsenter openssl curl zstd gcc python3";

/** Brings the lab of `source` up, after waiting for whoever has one up on this machine.
 * @throws {Error} with the lab's last words when it does not come up. */
export async function startLab(source: string): Promise<Lab> {
  const folder = await setUp(source);
  const keeper = startKeeper(folder);
  try {
    await keeper.reply("up", UP_TIMEOUT_MS);
  } catch (error) {
    await keeper.end();
    throw error;
  }
  const script = join(folder, "lab");
  const state = join(folder, "state");
  const nodePid = (): number => Number(readFileSync(join(state, "node.pid"), "utf8"));
  return {
    script,
    stateDir: state,
    nodeDisk: join(state, "fs"),
    nodePath: (path) => join(`/proc/${nodePid()}/root`, path),
    kubeconfig: join(state, "pki/admin.conf"),
    powerCut: async () => {
      keeper.ask("reboot");
      await keeper.reply("rebooted", REBOOT_TIMEOUT_MS);
    },
    restartApiServer: async () => {
      // By number, inside the node's own process namespace.
      const pid = (await mustRun([script, "node", "pgrep", "-x", "kube-apiserver"])).trim();
      await mustRun([script, "node", "kill", "-KILL", pid]);
    },
    enterNetwork: () => enterNetwork(nodePid()),
    [Symbol.asyncDispose]: async () => {
      await keeper.end();
      if (existsSync(state)) throw new Error(`Cannot take the lab down: ${state} is still there`);
    },
  };
}

/** The lab's folder in .cache, made on first use; removing it makes it anew. */
async function setUp(source: string): Promise<string> {
  const folder = join(REPOSITORY, ".cache", source === OWN_LAB ? "own-lab" : "lab");
  if (existsSync(folder)) return folder;
  const make = [join(import.meta.dirname, "set-up-lab"), source, folder, ...PROGRAMS.split(" ")];
  await mustRun(["flock", "--close", SETUP_LOCK, ...make], { timeoutMs: SETUP_TIMEOUT_MS });
  return folder;
}

interface Keeper {
  ask(command: string): void;
  /** Resolves when the keeper's next answer is `wanted`. */
  reply(wanted: string, timeoutMs: number): Promise<void>;
  /** Ends its input, on which it takes the lab down, and waits for that. */
  end(): Promise<void>;
}

function startKeeper(folder: string): Keeper {
  // --close: the daemons of the node must not hold the lock.
  const locked = ["--close", "--timeout", String(LOCK_WAIT_S), LOCK];
  // In a group of its own, so that neither Ctrl-C nor the end of a test runner reaches it: it ends by its input.
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    "flock",
    [...locked, join(import.meta.dirname, "keep-lab"), folder],
    { stdio: ["pipe", "pipe", "pipe"], detached: true, env: { ...process.env, LC_ALL: "C" } },
  );
  child.stdin.on("error", () => {
    // It has ended; reply() and end() tell how.
  });
  const words: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    words.push(line);
    if (words.length > 40) words.shift();
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = once(child, "close").then(([status]) => Number(status));

  return {
    ask: (command) => void child.stdin.write(`${command}\n`),
    async reply(wanted, timeoutMs) {
      const late = Promise.withResolvers<{ value: string }>();
      const timer = setTimeout(() => late.resolve({ value: `no answer within ${timeoutMs} ms` }), timeoutMs);
      const { value } = await Promise.race([answers.next(), late.promise]).finally(() => clearTimeout(timer));
      if (value === wanted) return;
      const state = value === undefined ? `it ended with ${await exited} (1: somebody holds ${LOCK})` : value;
      throw new Error(`Cannot use the lab in ${folder}: wanted "${wanted}", got "${state}"\n${words.join("\n")}`);
    },
    async end() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGTERM"), DOWN_TIMEOUT_MS);
      await exited.finally(() => clearTimeout(timer));
    },
  };
}

function enterNetwork(nodePid: number): Disposable {
  const home = openNetns("/proc/thread-self/ns/net");
  using node = openNetns(`/proc/${nodePid}/ns/net`);
  if (setns(node.fd, CLONE_NEWNET) !== 0) throw new Error(`Cannot enter the network of the lab's node ${nodePid}`);
  return {
    [Symbol.dispose]() {
      if (setns(home.fd, CLONE_NEWNET) !== 0) process.abort();
      home[Symbol.dispose]();
    },
  };
}
