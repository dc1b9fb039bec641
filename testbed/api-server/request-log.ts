// What was asked of the server, in order, so that a test can say "this made no API request". Also the one place tests
// wait for the server to have seen something.
import type { Route } from "./routes.ts";

/** One request. Times are `performance.now()`; `status` and `endedMs` are absent while it is unanswered. */
export interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly userAgent: string;
  readonly authorization: string;
  readonly startedMs: number;
  status?: number;
  /** When the answer was complete or its connection closed; for a watch, when it ended. */
  endedMs?: number;
}

/** The log of one server: the latest 10,000 requests. */
export interface RequestLog {
  begin(method: string, route: Route, headers: { readonly [name: string]: unknown }): LoggedRequest;
  /** Tells those who wait that something happened. */
  touch(): void;
  all(): readonly LoggedRequest[];
  clear(): void;
  /** Resolves as soon as `condition` holds; looks whenever the server did something. Rejects after `timeoutMs`. */
  waitFor(condition: () => boolean, what: string, timeoutMs: number): Promise<void>;
}

const LIMIT = 10_000;

/** An empty log. */
export function createRequestLog(): RequestLog {
  let requests: LoggedRequest[] = [];
  const waiting = new Set<() => void>();
  const touch = (): void => {
    for (const look of [...waiting]) look();
  };
  return {
    begin(method, route, headers) {
      const request: LoggedRequest = {
        method,
        path: route.path,
        query: Object.fromEntries(route.query),
        verb: route.verb,
        resource: route.resource?.plural ?? "",
        subresource: route.subresource,
        namespace: route.namespace,
        name: route.name,
        userAgent: String(headers["user-agent"] ?? ""),
        authorization: String(headers["authorization"] ?? ""),
        startedMs: performance.now(),
      };
      if (requests.length >= LIMIT) requests = requests.slice(1);
      requests.push(request);
      touch();
      return request;
    },
    touch,
    all: () => requests,
    clear() {
      requests = [];
    },
    waitFor(condition, what, timeoutMs) {
      return new Promise((resolve, reject) => {
        const done = (finish: () => void): void => {
          clearTimeout(timer);
          waiting.delete(look);
          finish();
        };
        const look = (): void => {
          if (condition()) done(resolve);
        };
        const timer = setTimeout(() => {
          const seen = requests
            .slice(-5)
            .map((request) => `${request.method} ${request.path} ${request.status ?? "open"}`);
          const message = `Cannot wait longer for ${what}: not seen within ${timeoutMs} ms; latest requests: ${seen.join(", ") || "none"}`;
          done(() => reject(new Error(message)));
        }, timeoutMs);
        waiting.add(look);
        look();
      });
    },
  };
}
