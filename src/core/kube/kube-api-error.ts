/**
 * What can go wrong between this program and the Kubernetes API, as one coded error, and the questions
 * callers ask of it. Where the texts come from (HTTP, TLS, disk) is not known here.
 */

import { isRecord, parseJson } from "../json-value.ts";

/**
 * - `KUBE_API_STATUS`: the server answered with another status than success; `status` and `reason` tell which.
 * - `KUBE_API_TRANSPORT`: no answer, or the connection ended within one.
 * - `KUBE_API_TIMEOUT`: our own deadline passed.
 * - `KUBE_API_TOO_LARGE`: the answer, or one event of it, exceeds our bound.
 * - `KUBE_API_GARBAGE`: the answer is not what the API sends (HTML of a proxy, broken JSON).
 * - `KUBE_API_CREDENTIALS`: token, certificate or kubeconfig cannot be read.
 */
export type KubeApiErrorCode =
  | "KUBE_API_STATUS"
  | "KUBE_API_TRANSPORT"
  | "KUBE_API_TIMEOUT"
  | "KUBE_API_TOO_LARGE"
  | "KUBE_API_GARBAGE"
  | "KUBE_API_CREDENTIALS";

export type KubeApiErrorFields = {
  /** HTTP status, or the `code` of a Status object within a watch. */
  readonly status?: number;
  /** `reason` of the Status object ("NotFound", "Expired"). */
  readonly reason?: string;
  /** How long the server asks us to stay away. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
};

/** A request to the API that did not succeed; `status` is 0 and `reason` empty when the server said neither. */
export class KubeApiError extends Error {
  readonly code: KubeApiErrorCode;
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeApiErrorCode, message: string, fields: KubeApiErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "KubeApiError";
    this.code = code;
    this.status = fields.status ?? 0;
    this.reason = fields.reason ?? "";
    this.retryAfterMs = fields.retryAfterMs;
  }
}

/** The object is not there (404). */
export function isNotFound(error: unknown): error is KubeApiError {
  return hasStatus(error, 404);
}

/** The API itself says that the object is not there. A 404 without its Status comes from a proxy before it, or from an API server
 * that does not serve all its paths yet: no proof of anything. */
export function isObjectNotFound(error: unknown): error is KubeApiError {
  return isNotFound(error) && error.reason === "NotFound";
}

/** The token or certificate was not accepted (401). */
export function isUnauthorized(error: unknown): error is KubeApiError {
  return hasStatus(error, 401);
}

/** We are known and lack the right (403). */
export function isForbidden(error: unknown): error is KubeApiError {
  return hasStatus(error, 403);
}

/** A precondition (uid, resourceVersion) does not hold any more (409 Conflict). */
export function isConflict(error: unknown): error is KubeApiError {
  return hasStatus(error, 409) && error.reason !== "AlreadyExists";
}

/** Create found an object of that name (409 AlreadyExists). */
export function isAlreadyExists(error: unknown): error is KubeApiError {
  return hasStatus(error, 409) && error.reason === "AlreadyExists";
}

/** What a Status object (meta/v1) of the API says; absent fields are 0 or empty. */
export type KubeStatus = {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  /** `details.retryAfterSeconds`, 0 when absent. */
  readonly retryAfterSeconds: number;
};

/** Undefined when `value` is not a Status object; wrong types within one read as absent. */
export function parseKubeStatus(value: unknown): KubeStatus | undefined {
  if (!isRecord(value) || value["kind"] !== "Status") return undefined;
  const details = isRecord(value["details"]) ? value["details"] : {};
  return {
    code: numberOrZero(value["code"]),
    reason: textOrEmpty(value["reason"]),
    message: textOrEmpty(value["message"]).slice(0, MAX_MESSAGE_LENGTH),
    retryAfterSeconds: numberOrZero(details["retryAfterSeconds"]),
  };
}

/**
 * The error for an answer that is not a success.
 * @param action what was asked, as the middle of a sentence ("list pods").
 * @param retryAfterSeconds from the header, 0 when there is none.
 */
export function statusError(action: string, status: number, body: string, retryAfterSeconds: number): KubeApiError {
  const said = parseKubeStatus(parseJson(body));
  const seconds = Math.max(retryAfterSeconds, said?.retryAfterSeconds ?? 0);
  const detail = said === undefined ? excerpt(body) : said.message;
  return new KubeApiError("KUBE_API_STATUS", `Cannot ${action}: the API answered ${status}${detail && `, ${detail}`}`, {
    status,
    reason: said?.reason ?? "",
    ...(seconds > 0 && { retryAfterMs: seconds * 1000 }),
  });
}

/** The beginning of an unexpected answer on one line, for people. */
export function excerpt(text: string): string {
  const line = text
    .slice(0, 400)
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
  return line === "" ? "" : JSON.stringify(line.slice(0, 120));
}

const MAX_MESSAGE_LENGTH = 1024;

function hasStatus(error: unknown, status: number): error is KubeApiError {
  return error instanceof KubeApiError && error.status === status;
}

function numberOrZero(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

function textOrEmpty(value: unknown): string {
  return typeof value === "string" ? value : "";
}
