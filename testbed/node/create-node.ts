// A Kubernetes node without Kubernetes: a real container runtime with real network plugins, driven as a kubelet drives
// it. It lives in the namespaces of enter.ts, so the usual paths (/etc/cni/net.d, /opt/cni/bin, /run, ...) are its own.
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentOptions, startAgent, type TestAgent } from "./agent.ts";
import { mustRun } from "./command.ts";
import { compileStatic } from "./compile.ts";
import { type Containerd, startContainerd } from "./containerd.ts";
import { currentNodeNamespaces } from "./enter.ts";
import { makeFoldersPrivate } from "./filesystem.ts";
import { removeHostProbes } from "./host-probes.ts";
import { renderImageArchive } from "./image.ts";
import { findLeftovers, listCgroups, listMounts, readSystemState } from "./leftovers.ts";
import { type NodeFamilies, renderPodNetwork, setUpNodeNetwork } from "./node-network.ts";
import { type PodSpec, runPod, type TestPod } from "./pod.ts";
import { REPOSITORY } from "./repository.ts";

export interface NodeOptions {
  /** "dual" unless told. */
  readonly families?: NodeFamilies;
  /** "testbed-node" unless told. */
  readonly name?: string;
  /** Version of the pod network's conflist; "1.0.0" (the newest that containerd 1.6 knows) unless told. */
  readonly cniVersion?: string;
  /** The text of the pod network's conflist, in place of bridge, host-local and portmap. */
  readonly conflist?: string;
  readonly logLevel?: "info" | "debug";
}

/** A running node. Owned by whoever made it: `destroy()` at the end, or everything ends with the process. */
export interface TestNode extends AsyncDisposable {
  readonly name: string;
  readonly families: NodeFamilies;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  /** The pod network's conflist inside `cniConfDir`. */
  readonly conflistPath: string;
  readonly runtime: Containerd;
  /** The testbed's tool program (testbed/sidecar/nettool.c), to be run on the node. */
  readonly nettool: string;
  /** How a person enters the node from the machine. */
  readonly enterArgv: readonly string[];
  /** @throws {CriError} when the runtime refuses. */
  runPod(spec: PodSpec): Promise<TestPod>;
  startAgent(options: AgentOptions): Promise<TestAgent>;
  /** Resolves once the chain of plugins that the runtime has read is accepted by `match`: it reads changed files a
   * moment after they were written. @throws {Error} when that takes longer than `timeoutMs` (60 s). */
  waitForPlugins(match: (types: readonly string[]) => boolean, timeoutMs?: number): Promise<void>;
  /** Resolves once the runtime has read our plugin in the conflist that lies on disk now, whichever file that is.
   * @throws {Error} when that takes longer than `timeoutMs` (60 s). */
  waitForChained(timeoutMs?: number): Promise<void>;
  /** Ends everything and puts the namespaces back as they were before. A second call does nothing.
   * @throws {Error} that lists what is left behind, or that something would not end. */
  destroy(): Promise<void>;
}

const CNI_BIN_DIR = "/opt/cni/bin";
const CNI_CONF_DIR = "/etc/cni/net.d";
const IMAGE = "localhost/testbed/nettool:1";
const NETWORK_PLUGINS = ["bridge", "host-local", "loopback", "portmap"];
/** Where distributions put the plugins: Debian and Ubuntu; Fedora; Alpine and Arch. */
const PLUGIN_FOLDERS = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"];

/** Starts a node, in half a second to a second. One at a time for each process.
 * @throws {Error} outside of `enterNodeNamespaces()`, when a program is missing, or when the runtime does not start. */
export async function createNode(options: NodeOptions = {}): Promise<TestNode> {
  const namespaces = currentNodeNamespaces();
  if (namespaces === undefined) throw new Error("Cannot create a node here: call enterNodeNamespaces() first");
  const { stateDir, cgroup } = namespaces;
  const { families = "dual", name = "testbed-node" } = options;
  const nettool = compileStatic(join(REPOSITORY, "testbed/sidecar/nettool.c"));
  const before = await readSystemState(cgroup);
  const mountsBefore = new Set(listMounts().map(({ id }) => id));
  const agents = new Set<TestAgent>();
  await using undo = new AsyncDisposableStack();

  mkdirSync(stateDir, { recursive: true });
  undo.defer(() => rmSync(stateDir, { recursive: true, force: true }));
  undo.use(await makeFoldersPrivate(stateDir));
  undo.use(await setUpNodeNetwork(families));
  await mustRun(["hostname", name]);
  installNetworkPlugins();
  const conflistPath = join(CNI_CONF_DIR, "10-testbed.conflist");
  writeFileSync(conflistPath, options.conflist ?? renderPodNetwork(families, options.cniVersion ?? "1.0.0"));
  undo.defer(() => removeCgroups(cgroup));

  const runtime = startContainerd({
    stateDir,
    sandboxImage: IMAGE,
    cniBinDir: CNI_BIN_DIR,
    cniConfDir: CNI_CONF_DIR,
    logLevel: options.logLevel ?? "info",
  });
  undo.defer(async () => {
    await removeSandboxes(runtime);
    await runtime.stop();
    killShims();
    await unmountBelow("/run", mountsBefore);
    for (const folder of ["/run/containerd", "/run/netns", "/run/istio-cni", "/run/ztunnel"])
      rmSync(folder, { recursive: true, force: true });
  });
  undo.defer(async () => {
    for (const agent of agents) await agent.kill();
    await removeHostProbes();
  });
  await runtime.waitReady();
  const content = { path: "nettool", content: readFileSync(nettool), mode: 0o755 };
  await runtime.importImage(
    renderImageArchive({ reference: IMAGE, files: [content], entrypoint: ["/nettool"], command: ["pause"] }),
  );

  const teardown = undo.move();
  async function destroy(): Promise<void> {
    if (teardown.disposed) return;
    await teardown.disposeAsync();
    // The kernel takes a moment to finish what was killed or unmounted.
    let left: readonly string[] = [];
    for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(20)) {
      left = findLeftovers(before, await readSystemState(cgroup));
      if (left.length === 0) return;
    }
    throw new Error(`Cannot leave the node clean: still there\n${left.join("\n")}`);
  }

  return {
    name,
    families,
    cniBinDir: CNI_BIN_DIR,
    cniConfDir: CNI_CONF_DIR,
    conflistPath,
    runtime,
    nettool,
    enterArgv: ["nsenter", "-t", String(namespaces.initPid), "--mount", "--net", "--pid", "--ipc", "--uts"],
    runPod: (spec) => runPod({ cri: runtime.cri, cgroup, image: IMAGE, logDir: join(stateDir, "pod-logs") }, spec),
    async startAgent(agentOptions) {
      const agent = await startAgent({ stateDir, cgroup, nodeName: name }, agentOptions);
      agents.add(agent);
      void agent.exited.then(() => agents.delete(agent));
      return agent;
    },
    async waitForPlugins(match, timeoutMs = 60_000) {
      let types: readonly string[] = [];
      for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(10)) {
        types = await runtime.cri.networkPlugins();
        if (match(types)) return;
      }
      throw new Error(
        `Cannot use the pod network: after ${timeoutMs} ms its plugins are ${types.join(", ") || "none"}`,
      );
    },
    async waitForChained(timeoutMs = 60_000) {
      let state = "";
      for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(10)) {
        const source = await runtime.cri.networkSource();
        const onDisk = readFirstConflist();
        if (onDisk === source && source.includes('"istio-cni"')) return;
        state = onDisk === source ? "it is without our plugin" : "the runtime has read another than lies there";
      }
      throw new Error(`Cannot use the conflist: after ${timeoutMs} ms ${state}\n${readFirstConflist()}`);
    },
    destroy,
    [Symbol.asyncDispose]: destroy,
  };
}

/** The conflist that a runtime takes from the folder: the first by name that is one; "" when there is none. */
function readFirstConflist(): string {
  for (const name of readdirSync(CNI_CONF_DIR).toSorted()) {
    if (!name.endsWith(".conflist")) continue;
    try {
      const text = readFileSync(join(CNI_CONF_DIR, name), "utf8");
      const { plugins } = JSON.parse(text);
      if (Array.isArray(plugins) && plugins.length > 0) return text;
    } catch {
      // A directory, half a file: no runtime takes it.
    }
  }
  return "";
}

// Both folders are private by now, and what the machine keeps there (another runtime's plugins, a lock file) is not the
// node's: it would be in the agent's way, and nobody knows what it is.
function installNetworkPlugins(): void {
  const executables = NETWORK_PLUGINS.map((plugin) => {
    const source = PLUGIN_FOLDERS.map((folder) => join(folder, plugin)).find((path) => existsSync(path));
    if (source === undefined)
      throw new Error(`Cannot create a node: network plugin ${plugin} is in none of ${PLUGIN_FOLDERS.join(", ")}`);
    return { path: join(CNI_BIN_DIR, plugin), content: readFileSync(source) };
  });
  for (const folder of [CNI_BIN_DIR, CNI_CONF_DIR]) rmSync(folder, { recursive: true, force: true });
  for (const folder of [CNI_BIN_DIR, CNI_CONF_DIR, "/run/istio-cni", "/run/ztunnel", "/run/netns"])
    mkdirSync(folder, { recursive: true });
  for (const { path, content } of executables) writeFileSync(path, content, { mode: 0o755 });
}

async function removeSandboxes(runtime: Containerd): Promise<void> {
  const ids = await runtime.cri.listPodSandboxes(30_000).catch(() => []);
  for (const id of ids) {
    try {
      await runtime.cri.stopPodSandbox(id, 30_000);
      await runtime.cri.removePodSandbox(id, 30_000);
    } catch {
      // A plugin that refuses DEL, or a runtime that a test has broken: the processes are killed by removeCgroups().
    }
  }
}

// A sandbox's namespace is a bind mount, and the runtime leaves the mounts of what it could not stop. Mounts of the machine
// that our own /run hides are in the list as well, and cannot be reached: they are none of ours.
async function unmountBelow(folder: string, kept: ReadonlySet<string>): Promise<void> {
  for (const { id, point } of listMounts().reverse())
    if (!kept.has(id) && point.startsWith(`${folder}/`) && !point.startsWith("/run/testbed/folders"))
      await mustRun(["umount", "--lazy", point]);
}

// They outlive containerd on purpose, and run in its cgroup, not in the pods'.
function killShims(): void {
  for (const path of globSync("/proc/[0-9]*/comm")) {
    try {
      if (readFileSync(path, "utf8").startsWith("containerd-shim")) process.kill(Number(path.split("/")[2]), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

/** Kills what still runs in the node's cgroups, then removes them. */
async function removeCgroups(cgroup: string): Promise<void> {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; ) {
    const folders = listCgroups(cgroup);
    if (folders.length === 0) return;
    for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
      try {
        for (const pid of readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n"))
          if (Number(pid) > 0) process.kill(Number(pid), "SIGKILL");
        rmdirSync(folder);
      } catch {
        // Busy until the killed are reaped, or gone already: seen at the next round.
      }
    }
    await sleep(20);
  }
}
