// How an API server answers wrongly, late or not at all when it is asked for a pod: what was measured of upstream's plugin
// (docs/differences.md, "At ADD"), for pods with a sidecar and for those of the ambient mesh.
import type { FaultAction } from "../../testbed/api-server/faults.ts";

/** What every request for a pod meets, and what the refusal then says of it. */
export const LASTING_ANSWERS: Readonly<
  Record<string, { readonly fault: "stopped" | FaultAction; readonly says: RegExp }>
> = {
  "is down": { fault: "stopped", says: /Cannot get pods\/(?:shop|mesh)\/\S+: .*ECONNREFUSED/ },
  "answers 401": { fault: { kind: "status", code: 401 }, says: /401/ },
  "answers 403": { fault: { kind: "status", code: 403 }, says: /403/ },
  "answers 429 with Retry-After": { fault: { kind: "status", code: 429, retryAfterSeconds: 1 }, says: /429/ },
  "answers 500": { fault: { kind: "status", code: 500 }, says: /500/ },
  "accepts and never answers": { fault: { kind: "never-answer" }, says: /was not asked in time|no answer/ },
};

/** What the first requests for a pod meet; then the server is well. */
export const PASSING_ANSWERS: Readonly<Record<string, { readonly action: FaultAction; readonly times: number }>> = {
  "answers 2 s late": { action: { kind: "latency", delayMs: 2000 }, times: 1 },
  "answers 500 once, then well": { action: { kind: "status", code: 500 }, times: 1 },
  // One try each half second.
  "answers 500 for 2.5 s, then well": { action: { kind: "status", code: 500 }, times: 5 },
  "answers 401 once, then well": { action: { kind: "status", code: 401 }, times: 1 },
  "answers 429 with Retry-After once, then well": {
    action: { kind: "status", code: 429, retryAfterSeconds: 1 },
    times: 1,
  },
  "does not answer the first request": { action: { kind: "never-answer" }, times: 1 },
};
