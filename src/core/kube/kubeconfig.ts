/**
 * Reads a kubeconfig (client.authentication of kubectl, v1 Config) down to what its current context needs
 * to reach a server. Files it names are named here and read elsewhere.
 */

import { isRecord } from "../json-value.ts";
import { quoteText } from "../short-text.ts";
import { KubeApiError } from "./kube-api-error.ts";
import { type PlainYaml, PlainYamlError, parsePlainYaml } from "./plain-yaml.ts";

/** Inline base64 (`*-data`) or the path of a file, relative to the kubeconfig's folder. */
export type KubeconfigBlob = { readonly base64: string } | { readonly file: string };

export type Kubeconfig = {
  /** Base URL, https or http. */
  readonly server: string;
  readonly tlsServerName?: string;
  readonly isInsecure: boolean;
  readonly ca?: KubeconfigBlob;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly clientCertificate?: KubeconfigBlob;
  readonly clientKey?: KubeconfigBlob;
};

/** Ways to authenticate that need more than a file, by their key in `user`. */
const UNSUPPORTED_USER_KEYS = ["exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups"];

/**
 * The current context of a kubeconfig in YAML or JSON.
 * @param path for messages.
 * @throws KubeApiError `KUBE_API_CREDENTIALS` naming the file and what in it is missing, wrong or not supported.
 */
export function parseKubeconfig(text: string, path: string): Kubeconfig {
  const fail = (detail: string, cause?: unknown): KubeApiError =>
    new KubeApiError("KUBE_API_CREDENTIALS", `Cannot use kubeconfig ${path}: ${detail}`, { cause });
  const config = parseText(text, fail);
  if (!isRecord(config)) throw fail("it is not a mapping");
  const contextName = textOf(config, "current-context");
  if (contextName === undefined) throw fail("current-context is not set");
  const context = named(config, "contexts", contextName, "context", fail);
  const clusterName = textOf(context, "cluster");
  if (clusterName === undefined) throw fail(`context ${quote(contextName)} names no cluster`);
  const cluster = named(config, "clusters", clusterName, "cluster", fail);
  const userName = textOf(context, "user");
  const user = userName === undefined ? {} : named(config, "users", userName, "user", fail);

  for (const key of UNSUPPORTED_USER_KEYS) {
    if (user[key] === undefined || user[key] === null) continue;
    throw fail(`user ${quote(userName ?? "")} has ${key}; supported are token, tokenFile and client certificates`);
  }
  if (textOf(cluster, "proxy-url") !== undefined) throw fail(`cluster ${quote(clusterName)} has proxy-url`);
  const server = textOf(cluster, "server");
  if (server === undefined || !/^https?:\/\/[^\s@?#]+$/.test(server)) {
    throw fail(`cluster ${quote(clusterName)} needs a server like https://host:port, it is ${quote(server ?? "")}`);
  }
  const ca = blobOf(cluster, "certificate-authority");
  const clientCertificate = blobOf(user, "client-certificate");
  const clientKey = blobOf(user, "client-key");
  if ((clientCertificate === undefined) !== (clientKey === undefined)) {
    throw fail(`user ${quote(userName ?? "")} needs both client-certificate and client-key`);
  }
  const tlsServerName = textOf(cluster, "tls-server-name");
  const token = textOf(user, "token");
  const tokenFile = textOf(user, "tokenFile");
  return {
    server,
    isInsecure: String(scalarOf(cluster, "insecure-skip-tls-verify")) === "true",
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(ca !== undefined && { ca }),
    // The file wins, as in client-go: it is the one that is renewed.
    ...(tokenFile === undefined && token !== undefined && { token }),
    ...(tokenFile !== undefined && { tokenFile }),
    ...(clientCertificate !== undefined && { clientCertificate }),
    ...(clientKey !== undefined && { clientKey }),
  };
}

type Fail = (detail: string, cause?: unknown) => KubeApiError;
type Fields = Readonly<Record<string, unknown>>;

function parseText(text: string, fail: Fail): PlainYaml {
  try {
    return parsePlainYaml(text);
  } catch (error) {
    if (!(error instanceof PlainYamlError)) throw error;
    throw fail(error.message, error);
  }
}

/** The entry `{name, <key>: {...}}` of a list of named things. */
function named(config: Fields, listKey: string, name: string, key: string, fail: Fail): Fields {
  const entries = config[listKey];
  if (!Array.isArray(entries)) throw fail(`${listKey} is not a list`);
  const entry = entries.find((candidate) => isRecord(candidate) && scalarOf(candidate, "name") === name);
  if (!isRecord(entry)) throw fail(`${listKey} has no entry named ${quote(name)}`);
  const value = Object.hasOwn(entry, key) ? (entry[key] ?? {}) : {};
  if (!isRecord(value)) throw fail(`${key} ${quote(name)} is not a mapping`);
  return value;
}

function blobOf(fields: Fields, key: string): KubeconfigBlob | undefined {
  const base64 = textOf(fields, `${key}-data`);
  if (base64 !== undefined) return { base64 };
  const file = textOf(fields, key);
  return file === undefined ? undefined : { file };
}

function textOf(fields: Fields, key: string): string | undefined {
  const value = scalarOf(fields, key);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function scalarOf(fields: Fields, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Names of contexts can be long: those of EKS are ARNs. */
function quote(text: string): string {
  return quoteText(text, 200);
}
