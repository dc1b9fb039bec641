// Asks the API server: whether it answers, what we may, whose node this is. Only reviews and reads: nothing is changed there.
import { hostname } from "node:os";
import type { AgentConfig } from "../../core/config/agent-config.ts";
import { neededRights, type Right } from "../../core/doctor/needed-rights.ts";
import type { ApiFacts, Probed, TokenFacts } from "../../core/doctor/node-facts.ts";
import { parseTokenTimes } from "../../core/doctor/proc-texts.ts";
import { messageOf } from "../../core/error-message.ts";
import { isForbidden, isNotFound, isUnauthorized, KubeApiError } from "../../core/kube/kube-api-error.ts";
import type { KubeCredentials } from "../../platform/http/credentials.ts";
import { createKubeClient, type KubeClient } from "../../platform/http/kube-client.ts";
import { credentialsOf } from "../kube-credentials.ts";
import { bounded } from "./bounded.ts";

const READ_MS = 3000;
const REQUEST_MS = 5000;
const ALL_MS = 15_000;

export interface ApiOptions {
  readonly config: AgentConfig;
  readonly userAgent: string;
}

/** The node's name as the agent would have it. */
export function nodeNameOf({ api }: Pick<AgentConfig, "api">): string {
  return api.nodeName ?? hostname().toLowerCase();
}

export async function gatherApi({ config, userAgent }: ApiOptions): Promise<ApiFacts> {
  const found = await bounded(READ_MS, () => credentialsOf(config.api, () => performance.now()));
  if ("unknown" in found) return withoutApi(found.unknown, found.unknown);
  const credentials = found.value;
  const { endpoint } = credentials;
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  const place = `${host}:${endpoint.port}`;
  const token = await bounded(READ_MS, () => tokenTimes(credentials));
  if ("unknown" in token) return { ...withoutApi(token.unknown, token.unknown), endpoint: { value: place } };
  let dateMs: number | undefined;
  const client = createKubeClient(credentials, {
    userAgent,
    deadlineMs: REQUEST_MS,
    onAnswer: (_action, _code, date) => {
      const parsed = Date.parse(date ?? "");
      if (!Number.isNaN(parsed)) dateMs ??= parsed;
    },
  });
  try {
    const signal = AbortSignal.timeout(ALL_MS);
    const nodeName = nodeNameOf(config);
    const wanted = neededRights(config);
    // One first: where nobody answers, nobody is asked again.
    const first = await isAnswered(() => ask(client, wanted[0], signal));
    if ("unknown" in first) return { ...withoutApi(first.unknown, first.unknown), endpoint: { value: place }, token };
    const answer = { value: { dateMs, refusal: first.value } };
    if (first.value !== undefined) {
      return { ...withoutApi(first.value, first.value), endpoint: { value: place }, token, answer };
    }
    const [rights, node] = await Promise.all([
      Promise.all(
        wanted.map(async (right) => ({ right, isAllowed: await bounded(ALL_MS, () => ask(client, right, signal)) })),
      ),
      findNode(client, config, nodeName, signal),
    ]);
    return { endpoint: { value: place }, token, answer, rights, node };
  } finally {
    client.close();
  }
}

/** Only its times are looked at, and nothing else of it is kept. */
function tokenTimes(credentials: KubeCredentials): TokenFacts | undefined {
  const { token } = credentials.read();
  if (token === undefined) return undefined;
  const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
  const times = parseTokenTimes(payload);
  return times === undefined
    ? { source: "the token, which is no JWT,", expiresAtMs: undefined, notBeforeMs: undefined }
    : { source: "the token", ...times };
}

/** Undefined: it answered and knows us; a sentence: it answered 401. */
async function isAnswered(request: () => Promise<unknown>): Promise<Probed<string | undefined>> {
  try {
    await request();
    return { value: undefined };
  } catch (error) {
    if (isUnauthorized(error)) return { value: messageOf(error) };
    // Any other status is an answer too; what it means is seen at the single questions.
    if (error instanceof KubeApiError && error.code === "KUBE_API_STATUS") return { value: undefined };
    return { unknown: messageOf(error) };
  }
}

async function ask(client: KubeClient, right: Right | undefined, signal: AbortSignal): Promise<boolean> {
  if (right === undefined) return true;
  const { verb, group, resource, subresource, namespace, name } = right;
  const resourceAttributes = { verb, group, resource, subresource, namespace, name };
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes },
  };
  const answer: unknown = await client.create({ plural: "selfsubjectaccessreviews" }, review, signal);
  const status = typeof answer === "object" && answer !== null && "status" in answer ? answer.status : undefined;
  if (typeof status === "object" && status !== null && "allowed" in status && typeof status.allowed === "boolean") {
    return status.allowed;
  }
  throw new TypeError("the API server's review has no status.allowed");
}

/** Best by the node of our own pod; else by whether there is a node of that name. */
async function findNode(
  client: KubeClient,
  { api: { podName, podNamespace } }: AgentConfig,
  name: string,
  signal: AbortSignal,
): Promise<ApiFacts["node"]> {
  try {
    const ofPod =
      podName === undefined || podNamespace === undefined
        ? undefined
        : await nodeOfPod(client, podNamespace, podName, signal);
    if (ofPod !== undefined) return { value: { isRight: ofPod === name, why: `pod ${podName} runs on ${ofPod}` } };
    await client.get({ plural: "nodes", name }, signal);
    return { value: { isRight: true, why: "the API server knows it" } };
  } catch (error) {
    if (isNotFound(error)) return { value: { isRight: false, why: "the API server knows no such node" } };
    return { unknown: isForbidden(error) ? "it may not be seen" : messageOf(error) };
  }
}

/** Undefined where the pod, or its node, cannot be seen. */
async function nodeOfPod(
  client: KubeClient,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const pod = await client.get({ plural: "pods", namespace, name }, signal).catch(() => undefined);
  const spec = typeof pod === "object" && pod !== null && "spec" in pod ? pod.spec : undefined;
  const node = typeof spec === "object" && spec !== null && "nodeName" in spec ? spec.nodeName : undefined;
  return typeof node === "string" && node !== "" ? node : undefined;
}

function withoutApi(endpoint: string, reason: string): ApiFacts {
  return {
    endpoint: { unknown: endpoint },
    token: { unknown: endpoint },
    answer: { unknown: reason },
    rights: [],
    node: { unknown: reason },
  };
}
