/**
 * What upstream's plugin asks its agent at ADD of an ambient pod: the body of `POST /cmdadd` on `pluginevent.sock`
 * (contract 3.9; cni/pkg/nodeagent/cni-watcher.go@1.30.3). As Go reads it: keys in any case, unknown ones ignored, of those
 * that come twice the last. The pod's UID is not told.
 */

import { type IpAddress, parseIpAddress, unmapIp } from "../address.ts";
import { isRecord } from "../json-value.ts";
import { quoteText } from "../short-text.ts";

export interface UpstreamAdd {
  /** The network namespace's path as the runtime sees it. */
  readonly netnsPath: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** Addresses the plugins before it gave the pod. */
  readonly ips: readonly IpAddress[];
}

/** A body that is none of these; `message` completes "Cannot read the request: …". */
export class UpstreamAddError extends Error {
  override readonly name = "UpstreamAddError";
  readonly code = "MALFORMED_ADD";
}

const MAX_PATH_LENGTH = 4096;
/** Of a Kubernetes name. */
const MAX_NAME_LENGTH = 253;
const MAX_IPS = 64;

/** @throws {UpstreamAddError} */
export function parseUpstreamAdd(body: Uint8Array): UpstreamAdd {
  const fields = openRecord("the body", readJson(body));
  const netnsPath = requireText(fields, "Netns", MAX_PATH_LENGTH);
  if (!netnsPath.startsWith("/") || netnsPath.includes("\0") || netnsPath.split("/").includes("..")) {
    throw new UpstreamAddError(`Netns is ${quoteText(netnsPath)}: accepted is an absolute path without ".."`);
  }
  return {
    netnsPath,
    podName: requireText(fields, "PodName", MAX_NAME_LENGTH),
    podNamespace: requireText(fields, "PodNamespace", MAX_NAME_LENGTH),
    ips: readIps(fields.get("ips")),
  };
}

function readJson(body: Uint8Array): unknown {
  if (body.length === 0) throw new UpstreamAddError("it has no body");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new UpstreamAddError("its body is not JSON in UTF-8");
  }
}

function readIps(value: unknown): readonly IpAddress[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new UpstreamAddError("IPs is no list");
  if (value.length > MAX_IPS) throw new UpstreamAddError(`IPs has ${value.length} entries: at most ${MAX_IPS}`);
  return value.map((entry, index) => {
    const what = `IPs[${index}].Address`;
    const address = openRecord(what, openRecord(`IPs[${index}]`, entry).get("address"));
    const text = requireText(address, "IP", MAX_PATH_LENGTH);
    const ip = parseIpAddress(text);
    if (ip === undefined) throw new UpstreamAddError(`${what}.IP is ${quoteText(text)}: accepted is an address`);
    return unmapIp(ip);
  });
}

/** The object's own fields by their names in lower case. */
function openRecord(what: string, value: unknown): ReadonlyMap<string, unknown> {
  if (!isRecord(value)) throw new UpstreamAddError(`${what} is no JSON object`);
  return new Map(Object.entries(value).map(([key, field]) => [key.toLowerCase(), field]));
}

function requireText(fields: ReadonlyMap<string, unknown>, name: string, maxLength: number): string {
  const value = fields.get(name.toLowerCase());
  if (typeof value !== "string" || value === "") throw new UpstreamAddError(`${name} is missing or no text`);
  if (value.length > maxLength) throw new UpstreamAddError(`${name} has ${value.length} characters`);
  return value;
}
