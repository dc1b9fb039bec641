/**
 * The errors a CNI plugin answers with: the code table of the CNI specification and the one place where an error
 * becomes the JSON a runtime reads. Which situation deserves which code is decided by who throws.
 */
import { messageOf } from "../error-message.ts";
import { printable } from "../text-columns.ts";

/** CNI SPEC 1.1.0 "Error" and "STATUS"; 8 and 999 are libcni's own (pkg/types/types.go@v1.3.0). */
export const CNI_ERROR_CODES = {
  incompatibleCniVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidNetworkConfig: 7,
  invalidNetns: 8,
  /** A transient condition; the runtime should try again. */
  tryAgainLater: 11,
  /** STATUS: ADD cannot be served. A runtime calls the node NotReady. */
  pluginNotAvailable: 50,
  /** STATUS: ADD cannot be served and existing containers may have limited connectivity. */
  limitedConnectivity: 51,
  internal: 999,
} as const;

export type CniErrorName = keyof typeof CNI_ERROR_CODES;
export type CniErrorCode = (typeof CNI_ERROR_CODES)[CniErrorName];

/** Longest `msg` or `details` rendered: kubelet copies them into an Event, whose note is far shorter still. */
export const MAX_CNI_MESSAGE_LENGTH = 4096;

/** `message` becomes `msg`: one sentence for the person who runs `kubectl describe pod`; `details` may be longer. */
export class CniError extends Error {
  override readonly name = "CniError";
  readonly code: CniErrorCode;
  readonly details: string;

  constructor(
    name: CniErrorName,
    message: string,
    options: { readonly details?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = CNI_ERROR_CODES[name];
    this.details = options.details ?? "";
  }
}

/** Any failure as a CniError; one that is none yet becomes code 999 with its own message. Never wraps a CniError. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  const message = messageOf(error);
  return new CniError("internal", message === "" ? "unknown error" : message, { cause: error });
}

/**
 * The error as the JSON document a plugin prints on stdout, ending in a newline. `cniVersion` is the version of the
 * request (SPEC: the result of an error carries it); leave it out where the request could not be read.
 * `details` is omitted when empty. Both texts are cut at MAX_CNI_MESSAGE_LENGTH.
 */
export function renderCniError(error: CniError, cniVersion?: string): string {
  const document = {
    ...(cniVersion === undefined ? {} : { cniVersion }),
    code: error.code,
    msg: shorten(error.message),
    ...(error.details === "" ? {} : { details: shorten(error.details) }),
  };
  return `${JSON.stringify(document, undefined, 4)}\n`;
}

/** A runtime passes it on to kubelet, and kubelet to whoever describes the pod at a terminal. */
function shorten(whole: string): string {
  const text = printable(whole);
  return text.length <= MAX_CNI_MESSAGE_LENGTH ? text : `${text.slice(0, MAX_CNI_MESSAGE_LENGTH - 1)}…`;
}
