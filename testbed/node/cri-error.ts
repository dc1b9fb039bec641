// How a call to the container runtime fails.

/** The runtime refused or did not answer. What a CNI plugin said is part of `details`. */
export class CriError extends Error {
  readonly code = "cri-call-failed";
  readonly method: string;
  /** gRPC status: 2 unknown (most refusals of containerd), 4 deadline exceeded, 5 not found, 14 unavailable. */
  readonly status: number;
  readonly details: string;

  constructor(method: string, status: number, details: string, cause: unknown) {
    super(`Cannot call ${method} of the container runtime: status ${status}, ${details}`, { cause });
    this.name = "CriError";
    this.method = method;
    this.status = status;
    this.details = details;
  }
}
