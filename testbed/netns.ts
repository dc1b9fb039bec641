// Network namespaces for tests: they have no name and no file, so nothing is left when the process ends.
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { unshare } from "../src/platform/linux/libc.ts";
import { type NetnsHandle, openNetns, runInNetns } from "../src/platform/linux/netns.ts";

const CLONE_NEWNET = 0x40000000;

/** A fresh network namespace with `lo` up. */
export interface TestNetns extends Disposable {
  readonly fd: number;
  readonly handle: NetnsHandle;
  /** A path other processes can open while this one lives. */
  readonly path: string;
  /** Runs `action` (synchronous) inside. */
  run<T>(action: () => T): T;
  /** Runs a program inside and waits for it, 60 s at most. */
  exec(argv: readonly string[], options?: { input?: string; env?: Record<string, string> }): ExecResult;
  /** As `exec`, and throws with the program's output unless it ends with 0. Returns stdout. */
  mustExec(argv: readonly string[], options?: { input?: string; env?: Record<string, string> }): string;
}

export interface ExecResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function createNetns(options: { loopbackUp?: boolean } = {}): TestNetns {
  const home = openNetns("/proc/thread-self/ns/net");
  let handle: NetnsHandle;
  try {
    handle = runInNetns(home.fd, () => {
      if (unshare(CLONE_NEWNET) !== 0) throw new Error("Cannot make a network namespace: root is needed");
      return openNetns("/proc/thread-self/ns/net");
    });
  } finally {
    home[Symbol.dispose]();
  }
  const exec: TestNetns["exec"] = (argv, execOptions = {}) => {
    const [file, ...args] = argv;
    if (file === undefined) throw new TypeError("Cannot run a program: argv is empty");
    const done: SpawnSyncReturns<string> = runInNetns(handle.fd, () =>
      spawnSync(file, args, {
        encoding: "utf8",
        timeout: 60_000,
        maxBuffer: 16 * 1024 * 1024,
        env: { ...process.env, LC_ALL: "C", ...execOptions.env },
        ...(execOptions.input === undefined ? {} : { input: execOptions.input }),
      }),
    );
    if (done.error) throw done.error;
    return { status: done.status, stdout: done.stdout, stderr: done.stderr };
  };
  const netns: TestNetns = {
    fd: handle.fd,
    handle,
    path: `/proc/${process.pid}/fd/${handle.fd}`,
    run: (action) => runInNetns(handle.fd, action),
    exec,
    mustExec(argv, execOptions) {
      const done = exec(argv, execOptions);
      if (done.status !== 0)
        throw new Error(`${argv.join(" ")} ended with ${done.status}: ${done.stderr}${done.stdout}`);
      return done.stdout;
    },
    [Symbol.dispose]: () => handle[Symbol.dispose](),
  };
  if (options.loopbackUp ?? true) netns.mustExec(["ip", "link", "set", "lo", "up"]);
  return netns;
}
