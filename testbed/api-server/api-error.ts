// Errors as Kubernetes shapes them: a `Status` object with code, reason and details. Responsible for wording and
// form (k8s.io/apimachinery/pkg/api/errors); who throws which one is decided elsewhere.
import type { JsonObject } from "./kube-object.ts";
import type { Resource } from "./resources.ts";

/** `reason` of a failed Status. */
export type ApiReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "AlreadyExists"
  | "Conflict"
  | "Expired"
  | "Gone"
  | "RequestEntityTooLarge"
  | "UnsupportedMediaType"
  | "Invalid"
  | "TooManyRequests"
  | "InternalError"
  | "ServiceUnavailable"
  | "Timeout";

/** One entry of `details.causes`. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

/** `details` of a Status. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** A request that fails with a Status. `listMeta` is for the one case in which a list error carries `continue`. */
export class ApiError extends Error {
  readonly code: number;
  /** "" for an error that Kubernetes passes on without giving it a reason. */
  readonly reason: ApiReason | "";
  readonly details: StatusDetails | undefined;
  readonly listMeta: JsonObject;

  constructor(
    code: number,
    reason: ApiReason | "",
    message: string,
    details?: StatusDetails,
    listMeta: JsonObject = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.listMeta = listMeta;
  }

  /** The Status object, as sent in a body or in an ERROR event. */
  status(): JsonObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: this.listMeta,
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

const qualified = (word: string, group: string): string => (group === "" ? word : `${word}.${group}`);

const detailsOf = (resource: Resource, name: string): StatusDetails => ({
  ...(name === "" ? {} : { name }),
  ...(resource.group === "" ? {} : { group: resource.group }),
  kind: resource.plural,
});

/** 400 */
export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

/** 401 */
export function unauthorized(): ApiError {
  return new ApiError(401, "Unauthorized", "Unauthorized");
}

/** 403; `why` completes the sentence "pods "x" is forbidden: …". */
export function forbidden(resource: Resource, name: string, why: string): ApiError {
  const subject = qualified(resource.plural, resource.group) + (name === "" ? "" : ` ${JSON.stringify(name)}`);
  return new ApiError(403, "Forbidden", `${subject} is forbidden: ${why}`, detailsOf(resource, name));
}

/** 404 for an object. */
export function notFound(resource: Resource, name: string): ApiError {
  const subject = `${qualified(resource.plural, resource.group)} ${JSON.stringify(name)}`;
  return new ApiError(404, "NotFound", `${subject} not found`, detailsOf(resource, name));
}

/** 404 for a path below a known group that leads nowhere. */
export function noSuchPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource", {});
}

/** 405 */
export function methodNotAllowed(): ApiError {
  const message = "the server does not allow this method on the requested resource";
  return new ApiError(405, "MethodNotAllowed", message, {});
}

/** 406 */
export function notAcceptable(message: string): ApiError {
  return new ApiError(406, "NotAcceptable", message);
}

/** 409 on create. */
export function alreadyExists(resource: Resource, name: string): ApiError {
  const subject = `${qualified(resource.plural, resource.group)} ${JSON.stringify(name)}`;
  return new ApiError(409, "AlreadyExists", `${subject} already exists`, detailsOf(resource, name));
}

/** 409 on update or delete; `why` completes the sentence. */
export function conflict(
  resource: Resource,
  name: string,
  why = "the object has been modified; please apply your changes to the latest version and try again",
): ApiError {
  const subject = `${qualified(resource.plural, resource.group)} ${JSON.stringify(name)}`;
  const message = `Operation cannot be fulfilled on ${subject}: ${why}`;
  return new ApiError(409, "Conflict", message, detailsOf(resource, name));
}

/** 410; `listMeta` carries the inconsistent continue token when there is one. */
export function expired(message: string, listMeta: JsonObject = {}): ApiError {
  return new ApiError(410, "Expired", message, undefined, listMeta);
}

/** 413 */
export function tooLarge(limitBytes: number): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limitBytes}`, {});
}

/** 415 */
export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return new ApiError(415, "UnsupportedMediaType", message);
}

/** 422; one message per cause, joined as Kubernetes' aggregate does. */
export function invalid(
  kind: { readonly kind: string; readonly group: string },
  name: string,
  causes: readonly Cause[],
): ApiError {
  const texts = causes.map((cause) => (cause.field === undefined ? cause.message : `${cause.field}: ${cause.message}`));
  const list = texts.length === 1 ? texts.join("") : `[${texts.join(", ")}]`;
  const message = `${qualified(kind.kind, kind.group)} ${JSON.stringify(name)} is invalid: ${list}`;
  return new ApiError(422, "Invalid", message, {
    ...(name === "" ? {} : { name }),
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes,
  });
}

/** 504 for a list at a version the server has not reached. */
export function tooLargeResourceVersion(asked: number, current: number): ApiError {
  return new ApiError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

/** A Status for a code a test asked for, with the reason Kubernetes gives such a code. */
export function statusForCode(code: number, message?: string, retryAfterSeconds?: number): ApiError {
  const known = WELL_KNOWN[code] ?? { reason: "InternalError", message: `the server answered with code ${code}` };
  const details = retryAfterSeconds === undefined ? undefined : { retryAfterSeconds };
  return new ApiError(code, known.reason, message ?? known.message, details);
}

const WELL_KNOWN: Readonly<Record<number, { reason: ApiReason; message: string }>> = {
  400: { reason: "BadRequest", message: "the server rejected our request for an unknown reason" },
  401: { reason: "Unauthorized", message: "Unauthorized" },
  403: { reason: "Forbidden", message: "forbidden by a fault of the stand-in" },
  404: { reason: "NotFound", message: "the server could not find the requested resource" },
  409: { reason: "Conflict", message: "the server reported a conflict" },
  410: { reason: "Expired", message: "The resourceVersion for the provided watch is too old." },
  429: { reason: "TooManyRequests", message: "too many requests, please try again later" },
  500: { reason: "InternalError", message: "Internal error occurred: a fault of the stand-in" },
  503: { reason: "ServiceUnavailable", message: "the server is currently unable to handle the request" },
  504: { reason: "Timeout", message: "Timeout: request did not complete within the allotted timeout" },
};
