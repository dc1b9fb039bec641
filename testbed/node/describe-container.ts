// What a kubelet makes of a container in a pod's spec before it asks the runtime for it: environment, mounts, security
// context. Not carried out: SELinux, AppArmor (the testbed's containerd has neither), resource limits other than as numbers
// for the environment, and anything that our and upstream's DaemonSets do not have, which is refused.
import { existsSync, mkdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { isJsonObject, type JsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { MASKED_PATHS, READONLY_PATHS } from "./agent-bundle.ts";
import type { ContainerMount } from "./cri-client.ts";
import type { ContainerSpec } from "./pod.ts";

export interface DescribeOptions {
  /** Metadata and spec of the pod, with its name and node. */
  readonly pod: JsonObject;
  readonly image: string;
  /** Data of the ConfigMaps by name. */
  readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Of the API server, as every container is told it. */
  readonly service: { readonly host: string; readonly port: number };
  /** Folder with token, ca.crt and namespace. */
  readonly serviceAccount: string;
  /** Where a folder of the host lies on this node; the same path unless told. */
  readonly hostPath?: (volume: string, path: string) => string;
}

const PROPAGATION: Readonly<Record<string, number>> = { "": 0, None: 0, HostToContainer: 1 };
const SECCOMP: Readonly<Record<string, number>> = { "": 1, RuntimeDefault: 0, Unconfined: 1 };
const SERVICE_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The pod's one container. Makes the folders that hostPath volumes ask to be made.
 * @throws {Error} when the pod has more than one, names a ConfigMap or volume that is not there, or a folder is missing. */
export function describeContainer(options: DescribeOptions): ContainerSpec {
  const containers = list(readPath(options.pod, "spec", "containers"));
  const [container] = containers;
  if (container === undefined || containers.length > 1)
    throw new Error(`Cannot start the pod: it has ${containers.length} containers, and one is accepted`);
  const security = readPath(container, "securityContext");
  const user = readPath(security, "runAsUser") ?? readPath(options.pod, "spec", "securityContext", "runAsUser");
  const group = readPath(security, "runAsGroup") ?? readPath(options.pod, "spec", "securityContext", "runAsGroup");
  const command = container["command"] === undefined ? {} : { command: texts(container["command"]) };
  return {
    name: readText(container, "name"),
    image: options.image,
    ...command,
    args: texts(container["args"]),
    env: describeEnvironment(container, options),
    uid: typeof user === "number" ? user : "image",
    ...(typeof group === "number" ? { gid: group } : {}),
    mounts: describeMounts(container, options),
    security: describeSecurity(security, options.pod),
  };
}

function describeSecurity(security: unknown, pod: JsonObject): NonNullable<ContainerSpec["security"]> {
  const profile =
    readText(security, "seccompProfile", "type") || readText(pod, "spec", "securityContext", "seccompProfile", "type");
  const profileType = SECCOMP[profile];
  if (profileType === undefined) throw new Error(`Cannot start the pod: no seccomp profile ${profile} is known here`);
  const isPrivileged = readPath(security, "privileged") === true;
  return {
    ...(isPrivileged
      ? { privileged: true }
      : {
          capabilities: {
            dropCapabilities: texts(readPath(security, "capabilities", "drop")),
            addCapabilities: texts(readPath(security, "capabilities", "add")),
          },
          maskedPaths: MASKED_PATHS,
          readonlyPaths: READONLY_PATHS,
        }),
    readonlyRootfs: readPath(security, "readOnlyRootFilesystem") === true,
    noNewPrivs: readPath(security, "allowPrivilegeEscalation") === false,
    seccomp: { profileType },
  };
}

// k8s.io/kubernetes pkg/kubelet/kubelet_pods.go: services first, then envFrom, then env, and the last one wins.
function describeEnvironment(container: JsonObject, options: DescribeOptions): Readonly<Record<string, string>> {
  const port = String(options.service.port);
  const env: Record<string, string> = {
    KUBERNETES_SERVICE_HOST: options.service.host,
    KUBERNETES_SERVICE_PORT: port,
    KUBERNETES_SERVICE_PORT_HTTPS: port,
  };
  for (const source of list(container["envFrom"])) {
    const name = readText(source, "configMapRef", "name");
    const data = options.configMaps[name];
    if (data === undefined) throw new Error(`Cannot start the pod: there is no ConfigMap ${name}`);
    Object.assign(env, data);
  }
  for (const variable of list(container["env"]))
    env[readText(variable, "name")] = readVariable(variable, container, options.pod);
  return env;
}

function readVariable(variable: JsonObject, container: JsonObject, pod: JsonObject): string {
  const source = variable["valueFrom"];
  if (source === undefined) return readText(variable, "value");
  const field = readText(source, "fieldRef", "fieldPath");
  if (field !== "") return readText(pod, ...field.split("."));
  const resource = readText(source, "resourceFieldRef", "resource");
  const limit = readText(container, "resources", "limits", resource.replace(/^limits\./, ""));
  switch (resource) {
    case "limits.memory":
      return String(limit === "" ? totalmem() : bytesOf(limit));
    case "limits.cpu":
      return String(limit === "" ? cpus().length : Math.ceil(coresOf(limit)));
    default:
      throw new Error(`Cannot start the pod: ${readText(variable, "name")} comes from something unknown here`);
  }
}

function bytesOf(quantity: string): number {
  const [, digits = "", unit = ""] = /^(\d+)(Ki|Mi|Gi)?$/.exec(quantity) ?? [];
  if (digits === "") throw new Error(`Cannot read ${quantity}: whole Ki, Mi or Gi are accepted`);
  return Number(digits) * 1024 ** ["", "Ki", "Mi", "Gi"].indexOf(unit);
}

const coresOf = (quantity: string): number =>
  quantity.endsWith("m") ? Number(quantity.slice(0, -1)) / 1000 : Number(quantity);

function describeMounts(container: JsonObject, options: DescribeOptions): readonly ContainerMount[] {
  const volumes = list(readPath(options.pod, "spec", "volumes"));
  const mounts = list(container["volumeMounts"]).map((mount): ContainerMount => {
    const name = readText(mount, "name");
    const volume = volumes.find((each) => readText(each, "name") === name);
    const propagation = PROPAGATION[readText(mount, "mountPropagation")];
    if (volume === undefined || propagation === undefined)
      throw new Error(`Cannot start the pod: volume ${name} is not there, or its propagation is not known here`);
    return {
      containerPath: readText(mount, "mountPath"),
      hostPath: findFolder(volume, options),
      readonly: mount["readOnly"] === true,
      propagation,
    };
  });
  return [...mounts, { hostPath: options.serviceAccount, containerPath: SERVICE_ACCOUNT_PATH, readonly: true }];
}

function findFolder(volume: JsonObject, { hostPath = (_name, path) => path }: DescribeOptions): string {
  const name = readText(volume, "name");
  const path = readText(volume, "hostPath", "path");
  if (path === "")
    throw new Error(`Cannot start the pod: volume ${name} is no hostPath, and others are not known here`);
  const folder = hostPath(name, path);
  const isThere = existsSync(folder);
  // Without a type nothing is checked, and containerd makes what is missing.
  const type = readText(volume, "hostPath", "type");
  if (!isThere && !["", "DirectoryOrCreate"].includes(type))
    throw new Error(`Cannot start the pod: MountVolume.SetUp failed for volume ${name}: ${path} is no directory`);
  if (!isThere) mkdirSync(folder, { recursive: true });
  return folder;
}

function list(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);
