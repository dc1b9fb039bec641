/**
 * What a runtime gives a plugin on stdin, as far as the agent uses it: version, the result of the plugins before us,
 * and the pod's annotations where the runtime passes them. Our own keys in the same document are plugin-entry.ts.
 */
import { type Cidr, type IpAddress, parseCidr, parseIpAddress } from "../address.ts";
import { quoteText } from "../short-text.ts";
import { CniError } from "./cni-error.ts";
import { findMember, type JsonNode, JsonScanError, scanJson } from "./json-scan.ts";

/** The capability by which containerd and CRI-O pass a pod's annotations (DESIGN 3.3). */
export const POD_ANNOTATIONS_CAPABILITY = "io.kubernetes.cri.pod-annotations";

/** Largest document accepted, in bytes. */
export const MAX_NETCONF_BYTES = 1 << 20;

export type PrevResultInterface = {
  readonly name: string;
  /** Path of the netns the interface is in; undefined for one on the host. */
  readonly sandbox: string | undefined;
};

export type PrevResultIp = {
  readonly address: Cidr;
  readonly gateway: IpAddress | undefined;
  /** Index into `interfaces`, where the result tells. */
  readonly interfaceIndex: number | undefined;
};

export type PrevResult = {
  /** The result's own bytes as text, never re-encoded: what ADD must print to pass it through unchanged. */
  readonly text: string;
  readonly interfaces: readonly PrevResultInterface[];
  /** In the order of the result: the first is the pod's primary address. */
  readonly ips: readonly PrevResultIp[];
};

export type Netconf = {
  /** "0.1.0" when absent, as the specification says. Whether it is supported is not judged here. */
  readonly cniVersion: string;
  readonly name: string;
  readonly prevResult: PrevResult | undefined;
  /** Undefined: the runtime does not pass them, so nothing is known. An empty map: the pod has none. */
  readonly podAnnotations: ReadonlyMap<string, string> | undefined;
};

/**
 * Reads a netconf of any CNI version, 0.1.0 (results with ip4 and ip6) to 1.1.0. Unknown keys are ignored.
 * @throws CniError code 6 (no JSON, not UTF-8, too large), 7 (a key we need has the wrong shape)
 */
export function parseNetconf(stdin: Uint8Array): Netconf {
  refuseUnreadable(stdin);
  const root = scan(stdin);
  if (root.kind !== "object") throw wrongShape("document", "an object");
  const cniVersion = optionalString(root, "cniVersion") ?? "";
  const version = cniVersion === "" ? "0.1.0" : cniVersion;
  return {
    cniVersion: version,
    name: optionalString(root, "name") ?? "",
    prevResult: parsePrevResult(stdin, present(findMember(root, "prevResult"))),
    podAnnotations: parsePodAnnotations(present(findMember(root, "runtimeConfig"))),
  };
}

/** The version an answer has to carry although the rest of the document was refused; undefined where it cannot be read. */
export function peekCniVersion(stdin: Uint8Array): string | undefined {
  try {
    const node = findMember(scanJson(stdin), "cniVersion");
    return node?.kind === "string" && node.value !== "" ? node.value : undefined;
  } catch {
    return undefined;
  }
}

function refuseUnreadable(stdin: Uint8Array): void {
  if (stdin.length > MAX_NETCONF_BYTES) {
    throw new CniError(
      "decodingFailure",
      `Cannot read the network configuration: ${stdin.length} bytes, accepted are at most ${MAX_NETCONF_BYTES}`,
    );
  }
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(stdin);
  } catch (cause) {
    throw new CniError("decodingFailure", "Cannot read the network configuration: it is not UTF-8", { cause });
  }
}

function scan(stdin: Uint8Array): JsonNode {
  try {
    return scanJson(stdin);
  } catch (cause) {
    if (!(cause instanceof JsonScanError)) throw cause;
    const found = stdin.length === 0 ? "it is empty" : cause.message;
    throw new CniError("decodingFailure", `Cannot read the network configuration: ${found}`, { cause });
  }
}

function parsePrevResult(stdin: Uint8Array, node: JsonNode | undefined): PrevResult | undefined {
  if (node === undefined) return undefined;
  if (node.kind !== "object") throw wrongShape("prevResult", "an object");
  const ips = items(node, "ips", "prevResult.ips").map(parseIp);
  return {
    text: new TextDecoder().decode(stdin.subarray(node.start, node.end)),
    interfaces: items(node, "interfaces", "prevResult.interfaces").map(parseInterface),
    ips: [...ips, ...legacyIp(node, "ip4"), ...legacyIp(node, "ip6")],
  };
}

function parseInterface(node: JsonNode, index: number): PrevResultInterface {
  if (node.kind !== "object") throw wrongShape(`prevResult.interfaces[${index}]`, "an object");
  const sandbox = optionalString(node, "sandbox");
  return { name: optionalString(node, "name") ?? "", sandbox: sandbox === "" ? undefined : sandbox };
}

function parseIp(node: JsonNode, index: number): PrevResultIp {
  const where = `prevResult.ips[${index}]`;
  const interfaceNode = present(findMember(node, "interface"));
  const interfaceIndex = interfaceNode?.kind === "number" ? Number(interfaceNode.text) : undefined;
  if (interfaceNode !== undefined && (interfaceIndex === undefined || !Number.isSafeInteger(interfaceIndex))) {
    throw wrongShape(`${where}.interface`, "an integer");
  }
  return { ...parseAddress(node, "address", where), interfaceIndex };
}

/** Results of CNI 0.1.0 and 0.2.0: at most one address per family, `ip` instead of `address`, no interfaces. */
function legacyIp(node: JsonNode, key: "ip4" | "ip6"): PrevResultIp[] {
  const ip = present(findMember(node, key));
  return ip === undefined ? [] : [{ ...parseAddress(ip, "ip", `prevResult.${key}`), interfaceIndex: undefined }];
}

function parseAddress(node: JsonNode, key: string, where: string): { address: Cidr; gateway: IpAddress | undefined } {
  const address = parseCidr(optionalString(node, key) ?? "");
  if (address === undefined) throw wrongShape(`${where}.${key}`, "an address with prefix length, as 10.0.0.5/24");
  const gatewayText = optionalString(node, "gateway") ?? "";
  const gateway = gatewayText === "" ? undefined : parseIpAddress(gatewayText);
  if (gatewayText !== "" && gateway === undefined) throw wrongShape(`${where}.gateway`, "an address");
  return { address, gateway };
}

function parsePodAnnotations(runtimeConfig: JsonNode | undefined): ReadonlyMap<string, string> | undefined {
  if (runtimeConfig !== undefined && runtimeConfig.kind !== "object") throw wrongShape("runtimeConfig", "an object");
  const node = findMember(runtimeConfig, POD_ANNOTATIONS_CAPABILITY);
  if (node === undefined) return undefined;
  // A runtime that passes annotations writes null for a pod that has none (a Go map nobody made).
  if (node.kind === "null") return new Map();
  const where = `runtimeConfig[${JSON.stringify(POD_ANNOTATIONS_CAPABILITY)}]`;
  if (node.kind !== "object") throw wrongShape(where, "an object of strings");
  const annotations = new Map<string, string>();
  for (const { key, value } of node.members) {
    if (value.kind !== "string") throw wrongShape(`${where}[${quoteText(key, 256)}]`, "a string");
    annotations.set(key, value.value);
  }
  return annotations;
}

function items(node: JsonNode, key: string, where: string): readonly JsonNode[] {
  const value = present(findMember(node, key));
  if (value === undefined) return [];
  if (value.kind !== "array") throw wrongShape(where, "an array");
  return value.items;
}

function optionalString(node: JsonNode, key: string): string | undefined {
  const value = present(findMember(node, key));
  if (value === undefined) return undefined;
  if (value.kind !== "string") throw wrongShape(key, "a string");
  return value.value;
}

/** Go decodes null into the zero value: the same as an absent key. */
function present(node: JsonNode | undefined): JsonNode | undefined {
  return node?.kind === "null" ? undefined : node;
}

function wrongShape(where: string, accepted: string): CniError {
  return new CniError("invalidNetworkConfig", `Cannot read the network configuration: ${where} is not ${accepted}`);
}
