/**
 * Where the API server is and who we are to it: the pod's service account, or a kubeconfig. Files are read
 * again at most every 10 seconds and after a 401, because the kubelet renews tokens (and CAs) on disk.
 * Nothing of it is ever logged.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { messageOf } from "../../core/error-message.ts";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import { type Kubeconfig, type KubeconfigBlob, parseKubeconfig } from "../../core/kube/kubeconfig.ts";
import { withoutTrailingSlashes } from "../../core/without-trailing-slashes.ts";

/** Where requests go. */
export type KubeEndpoint = {
  readonly protocol: "https:" | "http:";
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Prefix of every path, without slash at its end; mostly empty. */
  readonly basePath: string;
};

/** What a connection and a request carry. PEM texts; absent `ca`: the roots that Node trusts. */
export type KubeIdentity = {
  readonly token?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly isInsecure: boolean;
  readonly tlsServerName?: string;
};

export interface KubeCredentials {
  readonly endpoint: KubeEndpoint;
  /**
   * The identity as it is on disk now or was less than 10 s ago. A file that cannot be read any more leaves the
   * identity as it was.
   * @throws KubeApiError `KUBE_API_CREDENTIALS` when there never was a readable one.
   */
  read(): KubeIdentity;
  /** Makes the next `read()` go to the disk. */
  refresh(): void;
}

/** Where the kubelet mounts it: kubernetes.io "Configure Service Accounts for Pods"; contract/01 1.3. */
export const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

const REREAD_AFTER_MS = 10_000;
const MAX_TOKEN_BYTES = 64 * 1024;
const MAX_PEM_BYTES = 1024 * 1024;
const READ_CHUNK_BYTES = 8 * 1024;

export type InClusterOptions = {
  /** KUBERNETES_SERVICE_HOST: a name or an address, with or without brackets. */
  readonly host: string | undefined;
  /** KUBERNETES_SERVICE_PORT. */
  readonly port: string | undefined;
  /** @default SERVICE_ACCOUNT_DIR */
  readonly serviceAccountDir?: string;
};

/**
 * The service account of the pod we run in.
 * @throws KubeApiError `KUBE_API_CREDENTIALS` when the variables do not name a server. Files are read later.
 */
export function createInClusterCredentials(options: InClusterOptions, nowMs: () => number): KubeCredentials {
  const { host, port, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options;
  if (host === undefined || host === "" || port === undefined || port === "") {
    throw credentialsError(
      "Cannot find the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be set, or KUBECONFIG",
    );
  }
  const bareHost = host.replace(/^\[(.*)\]$/, "$1");
  const endpoint = parseEndpoint(`https://${bareHost.includes(":") ? `[${bareHost}]` : bareHost}:${port}`);
  return createCredentials(endpoint, nowMs, () => ({
    token: readToken(resolve(serviceAccountDir, "token")),
    ca: readText(resolve(serviceAccountDir, "ca.crt"), MAX_PEM_BYTES),
    isInsecure: false,
  }));
}

/**
 * The current context of a kubeconfig file; the file itself is read once, what it names is read again.
 * @param path one path; client-go's list of paths is refused.
 * @throws KubeApiError `KUBE_API_CREDENTIALS`.
 */
export function createKubeconfigCredentials(path: string, nowMs: () => number): KubeCredentials {
  const paths = path.split(":").filter((entry) => entry !== "");
  const [file] = paths;
  if (file === undefined || paths.length > 1) {
    throw credentialsError(`Cannot use KUBECONFIG ${JSON.stringify(path)}: it must name one file`);
  }
  const config = parseKubeconfig(readText(file, MAX_PEM_BYTES), file);
  return createCredentials(parseEndpoint(config.server), nowMs, () => readKubeconfigIdentity(config, dirname(file)));
}

function createCredentials(endpoint: KubeEndpoint, nowMs: () => number, load: () => KubeIdentity): KubeCredentials {
  let identity: KubeIdentity | undefined;
  let loadedAtMs = Number.NEGATIVE_INFINITY;
  return {
    endpoint,
    read() {
      if (identity !== undefined && nowMs() - loadedAtMs < REREAD_AFTER_MS) return identity;
      try {
        identity = load();
      } catch (error) {
        if (identity === undefined) throw error;
      }
      loadedAtMs = nowMs();
      return identity;
    },
    refresh() {
      loadedAtMs = Number.NEGATIVE_INFINITY;
    },
  };
}

function readKubeconfigIdentity(config: Kubeconfig, dir: string): KubeIdentity {
  const token = config.tokenFile === undefined ? config.token : readToken(resolve(dir, config.tokenFile));
  const { tlsServerName } = config;
  return {
    ...(token !== undefined && { token }),
    ...(config.ca !== undefined && { ca: readBlob(config.ca, dir) }),
    ...(config.clientCertificate !== undefined && { cert: readBlob(config.clientCertificate, dir) }),
    ...(config.clientKey !== undefined && { key: readBlob(config.clientKey, dir) }),
    isInsecure: config.isInsecure,
    ...(tlsServerName !== undefined && { tlsServerName }),
  };
}

function parseEndpoint(text: string): KubeEndpoint {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:") || url.hostname === "") {
    throw credentialsError(`Cannot find the API server: ${JSON.stringify(text)} is no URL of one`);
  }
  return {
    protocol: url.protocol,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
    basePath: withoutTrailingSlashes(url.pathname),
  };
}

function readBlob(blob: KubeconfigBlob, dir: string): string {
  if ("file" in blob) return readText(resolve(dir, blob.file), MAX_PEM_BYTES);
  return Buffer.from(blob.base64, "base64").toString("utf8");
}

function readToken(path: string): string {
  const token = readText(path, MAX_TOKEN_BYTES).trim();
  // Anything else would be refused as a header, with the token in the message.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw credentialsError(`Cannot use the token in ${path}: it is empty or not one word`);
  return token;
}

function readText(path: string, maxBytes: number): string {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    const fd = openSync(path, "r");
    try {
      while (length <= maxBytes) {
        const chunk = Buffer.alloc(READ_CHUNK_BYTES);
        const count = readSync(fd, chunk);
        if (count === 0) break;
        chunks.push(chunk.subarray(0, count));
        length += count;
      }
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw credentialsError(`Cannot read ${path}: ${messageOf(cause)}`, cause);
  }
  if (length > maxBytes) throw credentialsError(`Cannot read ${path}: it is larger than ${maxBytes} bytes`);
  return Buffer.concat(chunks).toString("utf8");
}

function credentialsError(message: string, cause?: unknown): KubeApiError {
  return new KubeApiError("KUBE_API_CREDENTIALS", message, { cause });
}
