// The way into a node: a script (test file, demo, benchmark) is executed again as the only tenant of fresh mount,
// network, pid, ipc and uts namespaces. Nothing it does touches the machine, and everything it starts ends with it,
// by exit or by any signal to it or to its parent (namespace-init.c). What the node is made of: create-node.ts.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compileStatic } from "./compile.ts";
import { REPOSITORY } from "./repository.ts";

/** What the inside knows of itself. */
export interface NodeNamespaces {
  /** Process 1 of the inside, as the machine numbers it: the target for `nsenter` from outside. */
  readonly initPid: number;
  /** Name of the cgroup (below the root of each hierarchy) that is removed when the inside ends. */
  readonly cgroup: string;
  /** Folder on a tmpfs that nobody outside sees. */
  readonly stateDir: string;
}

const STATE_DIR = "/run/testbed";
/** Not in the state folder, which a node removes with itself. */
const TEMPORARY_DIR = "/run/tmp";

/** The namespaces this process was started in by `enterNodeNamespaces()`; `undefined` on the machine itself. */
export function currentNodeNamespaces(): NodeNamespaces | undefined {
  const initPid = Number(process.env["TESTBED_INIT_PID"]);
  const cgroup = process.env["TESTBED_CGROUP"];
  if (!Number.isSafeInteger(initPid) || initPid <= 0 || cgroup === undefined) return undefined;
  // The variables alone could be inherited by a process that left.
  if (readFileSync("/proc/1/comm", "utf8").trim() !== "namespace-init") return undefined;
  return { initPid, cgroup, stateDir: STATE_DIR };
}

/** Returns at once when already inside. Outside it does not return: the process is replaced, keeps its pid, standard
 * streams, arguments and folder, and the script begins anew inside. So call it before anything else.
 * `/run` and the temporary folder are the inside's own; other files are the machine's until `createNode()`.
 * @throws {Error} when not root, when the checkout lies in /run, or when namespace-init.c cannot be built. */
export function enterNodeNamespaces(options: { readonly hostname?: string } = {}): NodeNamespaces {
  const inside = currentNodeNamespaces();
  if (inside !== undefined) {
    mkdirSync(TEMPORARY_DIR, { recursive: true, mode: 0o700 });
    process.env["TMPDIR"] = TEMPORARY_DIR;
    return inside;
  }
  if (process.getuid?.() !== 0) throw new Error("Cannot create a node: it needs root, for network namespaces");
  if (REPOSITORY.startsWith("/run/"))
    throw new Error(`Cannot create a node: the checkout lies in ${REPOSITORY}, and /run is the node's own; move it`);
  const program = compileStatic(join(import.meta.dirname, "namespace-init.c"));
  const cgroup = `testbed-${process.pid}-${Date.now().toString(36)}`;
  const argv = [program, cgroup, options.hostname ?? "testbed-node", process.execPath, ...process.execArgv];
  process.execve?.(program, [...argv, ...process.argv.slice(1)], { ...environment(), TESTBED_CGROUP: cgroup });
  throw new Error("Cannot create a node: this Node has no process.execve; use tools/node");
}

function environment(): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) defined[name] = value;
  return defined;
}
