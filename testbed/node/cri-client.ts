// A client for the container runtime: the calls a kubelet makes, over containerd's Unix socket. Messages: cri.proto.
import { join } from "node:path";
import { Client, credentials, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { CriError } from "./cri-error.ts";

/** A sandbox as the kubelet describes it. Fields as in runtime.v1 PodSandboxConfig, in camelCase. */
export interface PodSandboxConfig {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname?: string;
  readonly logDirectory: string;
  readonly portMappings?: readonly { readonly containerPort: number; readonly hostPort: number }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly cgroupParent: string;
    readonly securityContext: {
      readonly namespaceOptions: { readonly network: number; readonly pid: number };
      /** Of a pod with a container that is. */
      readonly privileged?: boolean;
    };
  };
}

/** A container as the kubelet describes it. Fields as in runtime.v1 ContainerConfig. */
export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: { readonly image: string };
  /** In place of the image's entry point. */
  readonly command?: readonly string[];
  readonly args: readonly string[];
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts?: readonly ContainerMount[];
  readonly logPath: string;
  readonly linux: {
    readonly securityContext: {
      readonly namespaceOptions: { readonly network: number; readonly pid: number };
      /** The image's user where it is absent. */
      readonly runAsUser?: { readonly value: number };
      readonly runAsGroup?: { readonly value: number };
      readonly capabilities?: {
        readonly addCapabilities?: readonly string[];
        readonly dropCapabilities?: readonly string[];
      };
      readonly privileged?: boolean;
      readonly readonlyRootfs?: boolean;
      readonly noNewPrivs?: boolean;
      readonly maskedPaths?: readonly string[];
      readonly readonlyPaths?: readonly string[];
      /** 0 is the runtime's own, 1 is none, as in a container that says nothing of it. */
      readonly seccomp?: { readonly profileType: number };
    };
  };
}

export interface ContainerMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  /** 0 is private, 1 is from the host to the container. */
  readonly propagation?: number;
}

export interface ContainerStatus {
  readonly state: "created" | "running" | "ended";
  readonly exitCode: number;
  /** The runtime's own text (JSON in containerd): the process id is in it. */
  readonly info: string;
}

/** What the runtime knows of a sandbox. `info` is the runtime's own text (JSON in containerd). */
export interface PodSandboxStatus {
  readonly ready: boolean;
  readonly ips: readonly string[];
  readonly info: string;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly message: string;
}

/** Every call throws `CriError`; none takes longer than its deadline (30 s unless told). */
export interface CriClient extends Disposable {
  version(timeoutMs?: number): Promise<{ readonly name: string; readonly version: string }>;
  conditions(timeoutMs?: number): Promise<readonly RuntimeCondition[]>;
  /** Types of the plugins in the pod network's chain, as the runtime has read it; empty while it has none. */
  networkPlugins(timeoutMs?: number): Promise<readonly string[]>;
  /** The conflist of the pod network, byte for byte as the runtime has read it; empty while it has none. */
  networkSource(timeoutMs?: number): Promise<string>;
  /** Returns the id of the sandbox; its network is up. */
  runPodSandbox(config: PodSandboxConfig, timeoutMs?: number): Promise<string>;
  stopPodSandbox(id: string, timeoutMs?: number): Promise<void>;
  removePodSandbox(id: string, timeoutMs?: number): Promise<void>;
  podSandboxStatus(id: string, timeoutMs?: number): Promise<PodSandboxStatus>;
  /** Ids; of one pod's sandboxes where its UID is told. */
  listPodSandboxes(timeoutMs?: number, ofPod?: string): Promise<readonly string[]>;
  createContainer(sandboxId: string, config: ContainerConfig, sandboxConfig: PodSandboxConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Sends SIGTERM, kills after the grace, and returns when the container has ended. */
  stopContainer(id: string, graceSeconds: number): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatus>;
}

type Message = Readonly<Record<string, unknown>>;

const DEADLINE_MS = 30_000;

/** A client for the runtime behind the Unix socket at `path`; connects at the first call. */
export function createCriClient(path: string): CriClient {
  const options = { longs: Number, enums: Number, defaults: true } as const;
  const service = loadSync(join(import.meta.dirname, "cri.proto"), options)["runtime.v1.RuntimeService"];
  const client = new Client(`unix://${path}`, credentials.createInsecure(), {
    // containerd is started after the client: find it soon.
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.max_reconnect_backoff_ms": 100,
  });

  function call(name: string, request: object, timeoutMs = DEADLINE_MS): Promise<Message> {
    const method: unknown = asMessage(service)[name];
    if (!isMethod(method)) throw new TypeError(`Cannot call ${name}: cri.proto does not define it`);
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + timeoutMs },
      (error, response) => {
        if (error) reject(new CriError(name, error.code, error.details, error));
        else resolve(asMessage(response));
      },
    );
    return promise;
  }

  return {
    async version(timeoutMs) {
      const answer = await call("Version", {}, timeoutMs);
      return { name: asText(answer["runtimeName"]), version: asText(answer["runtimeVersion"]) };
    },
    async conditions(timeoutMs) {
      const { status } = await call("Status", {}, timeoutMs);
      return asMessages(asMessage(status)["conditions"]).map((condition) => ({
        type: asText(condition["type"]),
        status: condition["status"] === true,
        message: asText(condition["message"]),
      }));
    },
    async networkPlugins(timeoutMs) {
      const { info } = await call("Status", { verbose: true }, timeoutMs);
      return parseNetworkPlugins(asText(asMessage(info)["cniconfig"]));
    },
    async networkSource(timeoutMs) {
      const { info } = await call("Status", { verbose: true }, timeoutMs);
      const [network] = listPodNetworks(asText(asMessage(info)["cniconfig"]));
      return asText(network?.["Source"]);
    },
    async runPodSandbox(config, timeoutMs) {
      return asText((await call("RunPodSandbox", { config }, timeoutMs))["podSandboxId"]);
    },
    async stopPodSandbox(id, timeoutMs) {
      await call("StopPodSandbox", { podSandboxId: id }, timeoutMs);
    },
    async removePodSandbox(id, timeoutMs) {
      await call("RemovePodSandbox", { podSandboxId: id }, timeoutMs);
    },
    async podSandboxStatus(id, timeoutMs) {
      const answer = await call("PodSandboxStatus", { podSandboxId: id, verbose: true }, timeoutMs);
      const status = asMessage(answer["status"]);
      const network = asMessage(status["network"]);
      const additional = asMessages(network["additionalIps"]).map((entry) => asText(entry["ip"]));
      return {
        ready: status["state"] === 0,
        ips: [asText(network["ip"]), ...additional].filter((ip) => ip !== ""),
        info: asText(asMessage(answer["info"])["info"]),
      };
    },
    async listPodSandboxes(timeoutMs, ofPod) {
      const items = asMessages((await call("ListPodSandbox", {}, timeoutMs))["items"]);
      const asked = items.filter((item) => ofPod === undefined || asMessage(item["metadata"])["uid"] === ofPod);
      return asked.map((item) => asText(item["id"]));
    },
    async createContainer(sandboxId, config, sandboxConfig) {
      const answer = await call("CreateContainer", { podSandboxId: sandboxId, config, sandboxConfig });
      return asText(answer["containerId"]);
    },
    async startContainer(id) {
      await call("StartContainer", { containerId: id });
    },
    async stopContainer(id, graceSeconds) {
      await call("StopContainer", { containerId: id, timeout: graceSeconds }, (graceSeconds + 20) * 1000);
    },
    async containerStatus(id) {
      const answer = await call("ContainerStatus", { containerId: id, verbose: true });
      const { state, exitCode } = asMessage(answer["status"]);
      return {
        state: state === 0 ? "created" : state === 1 ? "running" : "ended",
        exitCode: typeof exitCode === "number" ? exitCode : 0,
        info: asText(asMessage(answer["info"])["info"]),
      };
    },
    [Symbol.dispose]: () => client.close(),
  };
}

// containerd tells its CNI state as JSON: the networks in order, its own loopback first (go-cni, ConfigResult).
function listPodNetworks(text: string): readonly Message[] {
  const networks = asMessages(asMessage(JSON.parse(text === "" ? "{}" : text))["Networks"]);
  return networks.map((network) => asMessage(network["Config"])).filter(({ Name }) => Name !== "cni-loopback");
}

function parseNetworkPlugins(text: string): readonly string[] {
  return listPodNetworks(text).flatMap(({ Plugins }) =>
    asMessages(Plugins).map((plugin) => asText(asMessage(plugin["Network"])["type"])),
  );
}

function isMethod(value: unknown): value is MethodDefinition<object, object> {
  return typeof value === "object" && value !== null && "requestSerialize" in value && "responseDeserialize" in value;
}

// An absent message is null to proto-loader: read it as one without fields, as protobuf means it.
function asMessage(value: unknown): Message {
  return typeof value === "object" && value !== null ? (value as Message) : {};
}

function asMessages(value: unknown): readonly Message[] {
  return Array.isArray(value) ? value.map(asMessage) : [];
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}
