/**
 * One HTTP request over a unix socket: how the commands of install-cni ask the agent that runs.
 */

import { request } from "node:http";

export interface UnixAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * `no-socket`: there is nothing at the path. `no-listener`: nobody has it open any more. `denied`: not for this user.
 * `hung-up`: the connection ended before the answer. `timeout`, `too-large`: as they say. `other`: see the cause.
 */
export type UnixRequestErrorCode =
  | "no-socket"
  | "no-listener"
  | "denied"
  | "hung-up"
  | "timeout"
  | "too-large"
  | "other";

export class UnixRequestError extends Error {
  override readonly name = "UnixRequestError";
  readonly code: UnixRequestErrorCode;
  readonly socketPath: string;

  constructor(code: UnixRequestErrorCode, socketPath: string, why: string, cause?: unknown) {
    super(`Cannot ask over ${socketPath}: ${why}`, { cause });
    this.code = code;
    this.socketPath = socketPath;
  }
}

const ERRNO_CODES: Readonly<Record<string, UnixRequestErrorCode>> = {
  ENOENT: "no-socket",
  ENOTDIR: "no-socket",
  ECONNREFUSED: "no-listener",
  EACCES: "denied",
  EPERM: "denied",
  ECONNRESET: "hung-up",
  EPIPE: "hung-up",
};

/** Asks for `target` without a body; the deadline covers all of it. Rejects with {UnixRequestError}. */
export function askOverUnix(
  socketPath: string,
  target: string,
  {
    timeoutMs,
    maxBytes,
    method = "GET",
  }: { readonly timeoutMs: number; readonly maxBytes: number; readonly method?: "GET" | "PUT" },
): Promise<UnixAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (code: UnixRequestErrorCode, why: string, cause?: unknown): void => {
      clearTimeout(deadline);
      reject(new UnixRequestError(code, socketPath, why, cause));
      asking.destroy();
    };
    const onError = (error: NodeJS.ErrnoException): void =>
      fail(ERRNO_CODES[error.code ?? ""] ?? "other", error.message, error);
    const deadline = setTimeout(() => fail("timeout", `no answer within ${timeoutMs} ms`), timeoutMs);
    const asking = request({ socketPath, path: target, method, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxBytes) fail("too-large", `the answer has more than ${maxBytes} bytes`);
        else chunks.push(chunk);
      });
      response.on("error", onError);
      response.on("end", () => {
        clearTimeout(deadline);
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      });
    });
    asking.on("error", onError);
    asking.end();
  });
}
