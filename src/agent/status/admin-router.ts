/**
 * Requests on the admin socket by method and path. A route is written "GET /pods/:namespace/:name"; its handler gets what
 * stands in the places of the names. Refusals are JSON with a sentence in `error`.
 */

import { quoteText } from "../../core/short-text.ts";
import type { HttpAnswer } from "../../platform/http/server.ts";

export interface AdminRequest {
  /** By the names in the route, decoded. */
  readonly params: ReadonlyMap<string, string>;
  /** Behind the "?". */
  readonly query: URLSearchParams;
}

export type AdminHandler = (request: AdminRequest) => HttpAnswer | Promise<HttpAnswer>;

/** For `method` and the request's target as it came. May reject only with what a handler throws. */
export type AdminRouter = (method: string, target: string) => Promise<HttpAnswer>;

const MAX_SEGMENTS = 16;

/** @throws {TypeError} for a route that is not written like that, or twice. */
export function createAdminRouter(routes: Readonly<Record<string, AdminHandler>>): AdminRouter {
  const parsed = Object.entries(routes).map(([route, handler]) => ({ ...parseRoute(route), handler }));
  return async (method, target) => {
    const [path = "", query = ""] = splitOnce(target, "?");
    const segments = decodePath(path);
    const fitting =
      segments === undefined ? [] : parsed.filter((route) => matchSegments(route.segments, segments) !== undefined);
    if (segments === undefined || fitting.length === 0)
      return refuse(404, `Cannot answer ${quoteText(path, 200)}: no such path`);
    const found = fitting.find((route) => route.method === method);
    if (found === undefined) {
      const accepted = fitting.map((route) => route.method).join(", ");
      return refuse(405, `Cannot answer ${quoteText(method)} of ${quoteText(path, 200)}: accepted: ${accepted}`);
    }
    const params = matchSegments(found.segments, segments) ?? new Map();
    return found.handler({ params, query: new URLSearchParams(query) });
  };
}

export function answerJson(document: object): HttpAnswer {
  return { status: 200, contentType: "application/json", body: `${JSON.stringify(document)}\n` };
}

export function refuse(status: number, error: string): HttpAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify({ error })}\n` };
}

function parseRoute(route: string): { readonly method: string; readonly segments: readonly string[] } {
  const [, method, path] = /^([A-Z]+) (\/[^?\s]*)$/.exec(route) ?? [];
  if (method === undefined || path === undefined) {
    throw new TypeError(`Cannot add route ${JSON.stringify(route)}: it is not "METHOD /path"`);
  }
  return { method, segments: path.split("/").slice(1) };
}

/** The names' values; undefined: it is another path. */
function matchSegments(route: readonly string[], segments: readonly string[]): Map<string, string> | undefined {
  if (route.length !== segments.length) return undefined;
  const params = new Map<string, string>();
  for (const [index, wanted] of route.entries()) {
    const segment = segments[index] ?? "";
    if (wanted.startsWith(":") && segment !== "") params.set(wanted.slice(1), segment);
    else if (wanted !== segment) return undefined;
  }
  return params;
}

function decodePath(path: string): readonly string[] | undefined {
  if (!path.startsWith("/")) return undefined;
  const segments = path.split("/").slice(1);
  if (segments.length > MAX_SEGMENTS) return undefined;
  try {
    return segments.map(decodeURIComponent);
  } catch {
    // "%" without two hexadecimal digits.
    return undefined;
  }
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
