// A pod on the node: its sandbox as the runtime made it, and ways to act inside its network namespace.
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, runCommand } from "./command.ts";
import type { ContainerConfig, ContainerMount, CriClient, PodSandboxConfig } from "./cri-client.ts";

/** What a kubelet would take from the Pod object. */
export interface PodSpec {
  readonly name: string;
  /** "default" unless told. */
  readonly namespace?: string;
  /** Random unless told. */
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostNetwork?: boolean;
  /** Whether a container of it may be. */
  readonly privileged?: boolean;
  readonly portMappings?: readonly { readonly containerPort: number; readonly hostPort: number }[];
  /** How often the sandbox of this pod was made before. */
  readonly attempt?: number;
  /** Deadline for the runtime; a kubelet's is 2 minutes, ours is 30 s unless told. */
  readonly timeoutMs?: number;
}

/** A container from the testbed's image, with the arguments of nettool (testbed/sidecar/nettool.c), or from another one. */
export interface ContainerSpec {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** 0 unless told; `image` is the user that the image names. */
  readonly uid?: number | "image";
  readonly gid?: number;
  /** Name of an imported image; the testbed's own unless told. */
  readonly image?: string;
  /** In place of the image's entry point. */
  readonly command?: readonly string[];
  readonly mounts?: readonly ContainerMount[];
  /** What a pod's securityContext says beside the user. */
  readonly security?: Pick<
    ContainerConfig["linux"]["securityContext"],
    "capabilities" | "privileged" | "readonlyRootfs" | "noNewPrivs" | "maskedPaths" | "readonlyPaths" | "seccomp"
  >;
}

/** A running sandbox. */
export interface TestPod {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Where the runtime writes what its containers say, one file for each (NAME.log). */
  readonly logDirectory: string;
  /** The path the CNI plugins were given; the node's own for a pod on the host network. */
  readonly netnsPath: string;
  readonly ips: readonly string[];
  /** How long RunPodSandbox took. */
  readonly addMs: number;
  /** Runs a program of the node inside the pod's network namespace, to its end. */
  exec(argv: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** Starts a container and returns its id. It lives until the pod is stopped. */
  startContainer(spec: ContainerSpec): Promise<string>;
  /** Stops the sandbox (CNI DEL) and returns how long it took in milliseconds. */
  stop(timeoutMs?: number): Promise<number>;
  /** Stops and forgets the sandbox. */
  remove(timeoutMs?: number): Promise<void>;
}

export interface PodDeps {
  readonly cri: CriClient;
  readonly cgroup: string;
  readonly image: string;
  readonly logDir: string;
}

const POD_NETWORK = 0;
const CONTAINER_PID = 1;
const NODE_NETWORK = 2;

/** Makes a sandbox as a kubelet does and waits for its network.
 * @throws {CriError} when the runtime refuses, for instance because a CNI plugin did; nothing is left of it then. */
export async function runPod(deps: PodDeps, spec: PodSpec): Promise<TestPod> {
  const { cri } = deps;
  const config = describeSandbox(deps, spec);
  const { name, namespace, uid } = config.metadata;
  const start = performance.now();
  const id = await cri.runPodSandbox(config, spec.timeoutMs);
  const addMs = performance.now() - start;
  const status = await cri.podSandboxStatus(id);
  const netnsPath = spec.hostNetwork === true ? "/proc/1/ns/net" : parseNetnsPath(status.info);
  return {
    id,
    name,
    namespace,
    uid,
    logDirectory: config.logDirectory,
    netnsPath,
    ips: status.ips,
    addMs,
    exec: (argv, options) => runCommand(["nsenter", `--net=${netnsPath}`, "--", ...argv], options),
    async startContainer(container) {
      mkdirSync(config.logDirectory, { recursive: true });
      const containerId = await cri.createContainer(id, describeContainer(deps, container, config), config);
      await cri.startContainer(containerId);
      return containerId;
    },
    async stop(timeoutMs) {
      const stopStart = performance.now();
      await cri.stopPodSandbox(id, timeoutMs);
      return performance.now() - stopStart;
    },
    async remove(timeoutMs) {
      await cri.stopPodSandbox(id, timeoutMs);
      await cri.removePodSandbox(id, timeoutMs);
    },
  };
}

function describeSandbox(deps: PodDeps, spec: PodSpec): PodSandboxConfig {
  const { name, namespace = "default", uid = randomUUID(), attempt = 0 } = spec;
  return {
    metadata: { name, namespace, uid, attempt },
    ...(spec.hostNetwork === true ? {} : { hostname: name }),
    logDirectory: join(deps.logDir, `${namespace}_${name}_${uid}`),
    ...(spec.portMappings === undefined ? {} : { portMappings: spec.portMappings }),
    labels: {
      ...spec.labels,
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": namespace,
      "io.kubernetes.pod.uid": uid,
    },
    annotations: spec.annotations ?? {},
    linux: {
      cgroupParent: `/${deps.cgroup}/kubepods/pod${uid}`,
      securityContext: {
        namespaceOptions: { network: spec.hostNetwork === true ? NODE_NETWORK : POD_NETWORK, pid: CONTAINER_PID },
        ...(spec.privileged === undefined ? {} : { privileged: spec.privileged }),
      },
    },
  };
}

function describeContainer(deps: PodDeps, spec: ContainerSpec, sandbox: PodSandboxConfig): ContainerConfig {
  const { uid = 0 } = spec;
  const { namespaceOptions } = sandbox.linux.securityContext;
  return {
    metadata: { name: spec.name, attempt: 0 },
    image: { image: spec.image ?? deps.image },
    ...(spec.command === undefined ? {} : { command: spec.command }),
    ...(spec.mounts === undefined ? {} : { mounts: spec.mounts }),
    args: spec.args,
    envs: Object.entries(spec.env ?? {}).map(([key, value]) => ({ key, value })),
    logPath: `${spec.name}.log`,
    linux: {
      securityContext: {
        namespaceOptions,
        ...(uid === "image" ? {} : { runAsUser: { value: uid }, runAsGroup: { value: spec.gid ?? uid } }),
        ...spec.security,
      },
    },
  };
}

/** The files of the network namespaces of all sandboxes that the runtime knows, but of those of which it does not tell one. */
export async function listSandboxNetns(cri: CriClient): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const id of await cri.listPodSandboxes()) {
    try {
      found.add(parseNetnsPath((await cri.podSandboxStatus(id)).info));
    } catch {
      // Removed meanwhile, or on the host's network.
    }
  }
  return found;
}

/** Reads the network namespace from containerd's verbose sandbox information (the OCI spec is part of it).
 * @throws {Error} when the text is not that. */
function parseNetnsPath(info: string): string {
  const parsed: unknown = JSON.parse(info);
  const namespaces: unknown = read(read(read(parsed, "runtimeSpec"), "linux"), "namespaces");
  if (Array.isArray(namespaces)) {
    for (const entry of namespaces) {
      const path: unknown = read(entry, "path");
      if (read(entry, "type") === "network" && typeof path === "string" && path !== "") return path;
    }
  }
  throw new Error(`Cannot find the sandbox's network namespace: ${info.slice(0, 200)}`);
}

function read(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}
