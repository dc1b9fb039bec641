// From a route to an answer: authentication, authorization, then the verb. Responsible for which code calls which verb
// and for its success code; every failure is an ApiError.
import { ACCESS_REVIEW_PATH, reviewAccess } from "./access-review.ts";
import {
  ApiError,
  badRequest,
  forbidden,
  methodNotAllowed,
  noSuchPath,
  unauthorized,
  unsupportedMediaType,
} from "./api-error.ts";
import type { Credentials, User } from "./credentials.ts";
import { answerPlainPath, isKnownGroup } from "./discovery.ts";
import { type JsonObject, type KubeObject, readPath } from "./kube-object.ts";
import { parseListOptions } from "./list-options.ts";
import { parseAccept, renderList, renderObject } from "./media.ts";
import { PATCH_TYPES } from "./patch.ts";
import { getObject, isInNamespace, listObjects } from "./reads.ts";
import type { Resource } from "./resources.ts";
import type { BodyAnswer } from "./respond.ts";
import type { Route, Verb } from "./routes.ts";
import type { Store } from "./store.ts";
import type { Watches, WatchRequest } from "./watch.ts";
import type { DeleteOptions, Writes } from "./writes.ts";

/** What the verbs work upon. */
export interface AnswerDeps {
  readonly store: Store;
  readonly writes: Writes;
  readonly watches: Watches;
  readonly credentials: Credentials;
  readonly watchList: boolean;
  /** `host:port`, for discovery. */
  readonly address: () => string;
}

/** What of the request is read here. `body` reads at most MAX_BODY_BYTES and throws ApiError 413 beyond. */
export interface RequestParts {
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  readonly body: () => Promise<Uint8Array>;
}

/** k8s.io/apiserver pkg/server/config.go: MaxRequestBodyBytes. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** Answers a request, or says which watch to open. Throws ApiError. */
export async function answerRequest(
  route: Route,
  parts: RequestParts,
  deps: AnswerDeps,
): Promise<BodyAnswer | { readonly watch: WatchRequest }> {
  const user = authenticate(parts.headers["authorization"], deps.credentials);
  const { resource } = route;
  if (route.path === ACCESS_REVIEW_PATH && user !== ANONYMOUS) {
    const answer = reviewAccess(user, parseJson(await parts.body(), unrecognized("SelfSubjectAccessReview")));
    if (answer !== undefined) return json(201, answer);
  }
  if (resource === undefined) return answerPlain(route, user, deps);
  if (route.verb === "") throw methodNotAllowed();
  authorize(user, route, resource, route.verb);

  const target = { resource, namespace: route.namespace, name: route.name };
  const request = { ...target, subresource: route.subresource, dryRun: route.query.getAll("dryRun").includes("All") };
  const form = parseAccept(
    headerText(parts.headers["accept"]),
    resource,
    route.verb === "list" || route.verb === "deletecollection",
  );
  const one = (status: number, object: KubeObject): BodyAnswer => json(status, renderObject(object, resource, form));

  switch (route.verb) {
    case "get":
      return json(200, getObject(deps.store, target, form));
    case "list":
      return json(200, listObjects(deps.store, target, parseListOptions(route.query, resource, deps.watchList), form));
    case "watch": {
      const watch = { target, options: parseListOptions(route.query, resource, deps.watchList), form };
      return { watch };
    }
    case "create":
      return one(201, deps.writes.create(request, await readJson(parts, resource)));
    case "update": {
      const { object, created } = deps.writes.update(request, await readJson(parts, resource));
      return one(created ? 201 : 200, object);
    }
    case "patch": {
      const contentType = headerText(parts.headers["content-type"])?.split(";")[0]?.trim() ?? "";
      if (!PATCH_TYPES.includes(contentType)) throw unsupportedMediaType(PATCH_TYPES);
      return one(200, deps.writes.patch(request, await readPatch(parts), contentType));
    }
    case "delete": {
      const deleted = deps.writes.remove(request, await readDeleteOptions(route, parts));
      return resource.answersDeleted || deleted.metadata.deletionTimestamp !== undefined
        ? one(200, deleted)
        : json(200, success(deleted, resource));
    }
    case "deletecollection": {
      const options = parseListOptions(route.query, resource, deps.watchList);
      const asked = await readDeleteOptions(route, parts);
      const selected = deps.store
        .list(resource.storage)
        .filter((object) => isInNamespace(object, route.namespace) && options.selects(resource.toWire(object)));
      for (const object of selected) deps.writes.remove({ ...request, name: object.metadata.name }, asked);
      return json(200, renderList(selected, { resourceVersion: String(deps.store.revision()) }, resource, form));
    }
  }
}

/** An ApiError as an answer. */
export function answerError(error: ApiError): BodyAnswer {
  const retry = error.details?.retryAfterSeconds;
  return {
    ...json(error.code, error.status()),
    ...(retry === undefined ? {} : { headers: { "Retry-After": String(retry) } }),
  };
}

const ANONYMOUS: User = { name: "system:anonymous", may: () => false };

function authenticate(header: string | readonly string[] | undefined, credentials: Credentials): User {
  const text = headerText(header);
  if (text === undefined) return ANONYMOUS;
  const user = credentials.find(/^bearer +(\S+)$/i.exec(text.trim())?.[1] ?? "");
  if (user === undefined) throw unauthorized();
  return user;
}

function authorize(user: User, route: Route, resource: Resource, verb: Verb): void {
  const { namespace, name, subresource } = route;
  if (user.may === undefined || user.may({ verb, resource, subresource, namespace, name })) return;
  const scope = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  const what = subresource === "" ? resource.plural : `${resource.plural}/${subresource}`;
  const why = `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(resource.group)} ${scope}`;
  throw forbidden(resource, name, why);
}

function answerPlain(route: Route, user: User, deps: AnswerDeps): BodyAnswer {
  const isPublic = /^\/(healthz|readyz|livez|version)\/?$/.test(route.path);
  if (user === ANONYMOUS && !isPublic) {
    const message = `forbidden: User "system:anonymous" cannot get path ${JSON.stringify(route.path)}`;
    throw new ApiError(403, "Forbidden", message, {});
  }
  const answer = answerPlainPath(route.path, deps.address());
  if (answer === undefined && isKnownGroup(route.path)) throw noSuchPath();
  if (answer === undefined)
    return { status: 404, contentType: "text/plain; charset=utf-8", body: "404 page not found\n" };
  return typeof answer === "string"
    ? { status: 200, contentType: "text/plain; charset=utf-8", body: answer }
    : json(200, answer);
}

function success(deleted: KubeObject, resource: Resource): JsonObject {
  const group = resource.group === "" ? {} : { group: resource.group };
  const details = { name: deleted.metadata.name, ...group, kind: resource.plural, uid: deleted.metadata.uid };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}

async function readDeleteOptions(route: Route, parts: RequestParts): Promise<DeleteOptions> {
  const bytes = await parts.body();
  const body = bytes.length === 0 ? {} : parseJson(bytes, unrecognized("DeleteOptions"));
  const uid = readPath(body, "preconditions", "uid");
  const resourceVersion = readPath(body, "preconditions", "resourceVersion");
  const grace = readPath(body, "gracePeriodSeconds") ?? asNumber(route.query.get("gracePeriodSeconds"));
  return {
    ...(typeof uid === "string" ? { uid } : {}),
    ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
    ...(typeof grace === "number" ? { gracePeriodSeconds: grace } : {}),
  };
}

const asNumber = (text: string | null): number | undefined =>
  text === null || !/^-?\d+$/.test(text) ? undefined : Number(text);

async function readPatch(parts: RequestParts): Promise<unknown> {
  return parseJson(await parts.body(), "error decoding patch: invalid JSON");
}

async function readJson(parts: RequestParts, resource: Resource): Promise<unknown> {
  const contentType = headerText(parts.headers["content-type"])?.split(";")[0]?.trim() ?? "";
  // `kubectl create` with flags instead of a file sends protobuf.
  if (!["", "*/*", "application/json"].includes(contentType)) throw unsupportedMediaType(["application/json"]);
  return parseJson(await parts.body(), unrecognized(resource.kind));
}

function unrecognized(kind: string): string {
  return `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error`;
}

function parseJson(bytes: Uint8Array, failure: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw badRequest(`${failure}: ${why}`);
  }
}

function json(status: number, body: JsonObject): BodyAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(body)}\n` };
}

function headerText(header: string | readonly string[] | undefined): string | undefined {
  return header === undefined || typeof header === "string" ? header : header.join(",");
}
