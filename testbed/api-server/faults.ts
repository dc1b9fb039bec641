// Faults on demand: which requests go wrong, how, and how often. Responsible for matching and counting; respond.ts does
// the damage.
import type { Route, Verb } from "./routes.ts";

/** What goes wrong. The first five answer instead of the server; the others spoil the server's own answer. */
export type FaultAction =
  /** A Status with this code, and Retry-After if given. */
  | { readonly kind: "status"; readonly code: number; readonly message?: string; readonly retryAfterSeconds?: number }
  /** 200 with an HTML page, as a proxy or captive portal answers. */
  | { readonly kind: "html" }
  /** 200 with bytes that are no text. */
  | { readonly kind: "garbage" }
  /** Reads the request and never answers. */
  | { readonly kind: "never-answer" }
  /** TCP reset instead of an answer. */
  | { readonly kind: "reset" }
  /** Answers later. */
  | { readonly kind: "latency"; readonly delayMs: number }
  /** Promises the whole body, sends half of it, then closes. */
  | { readonly kind: "truncated" }
  /** Sends half of a watch's first event, then closes: "end" ends the stream as if it were complete. */
  | { readonly kind: "half-event"; readonly close: "end" | "reset" }
  /** A watch that is open and shows nothing, not even bookmarks. */
  | { readonly kind: "silent-watch" }
  /** Sends `bytes` every `everyMs`. */
  | { readonly kind: "trickle"; readonly bytes: number; readonly everyMs: number }
  /** The object, the first item of a list, or each object of a watch carries an annotation of `bytes`. */
  | { readonly kind: "large-object"; readonly bytes: number }
  /** Another Content-Type upon the right body. */
  | { readonly kind: "content-type"; readonly value: string };

/** Which requests: all given conditions hold. */
export interface FaultMatch {
  readonly verb?: Verb | readonly Verb[];
  /** Plural: `pods`. */
  readonly resource?: string;
  /** Tested against path and query as sent. */
  readonly path?: RegExp;
}

/** A fault in force. Disposing clears it. */
export interface Fault extends Disposable {
  readonly hits: () => number;
  readonly clear: () => void;
}

/** The faults of one server. */
export interface Faults {
  /** In force for the next `count` matching requests, or until cleared. */
  add(match: FaultMatch, action: FaultAction, count?: number): Fault;
  /** The actions for this request, oldest fault first; counts them as hit. */
  take(route: Route): readonly FaultAction[];
  clear(): void;
}

/** No fault in force. */
export function createFaults(): Faults {
  const inForce = new Set<{ match: FaultMatch; action: FaultAction; left: number; hits: number }>();
  return {
    add(match, action, count = Number.POSITIVE_INFINITY) {
      const fault = { match, action, left: count, hits: 0 };
      inForce.add(fault);
      const clear = (): void => void inForce.delete(fault);
      return { hits: () => fault.hits, clear, [Symbol.dispose]: clear };
    },
    take(route) {
      const taken: FaultAction[] = [];
      for (const fault of inForce) {
        if (!matches(fault.match, route)) continue;
        fault.hits += 1;
        fault.left -= 1;
        if (fault.left <= 0) inForce.delete(fault);
        taken.push(fault.action);
      }
      return taken;
    },
    clear: () => inForce.clear(),
  };
}

/** The first action of this kind. */
export function findAction<Kind extends FaultAction["kind"]>(
  actions: readonly FaultAction[],
  kind: Kind,
): Extract<FaultAction, { kind: Kind }> | undefined {
  return actions.find((action): action is Extract<FaultAction, { kind: Kind }> => action.kind === kind);
}

function matches(match: FaultMatch, route: Route): boolean {
  if (match.verb !== undefined && !([] as readonly string[]).concat(match.verb).includes(route.verb)) return false;
  if (match.resource !== undefined && match.resource !== route.resource?.plural) return false;
  return match.path === undefined || match.path.test(`${route.path}?${route.query.toString()}`);
}
