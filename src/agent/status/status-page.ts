/**
 * GET /status on the port of the metrics: the status page, for whoever reaches that port. Off unless STATUS_PAGE says
 * otherwise (ADR 20). Answers from memory, makes a page at most once a second however many ask.
 */

import type { StatusDocument } from "../../core/status/status-document.ts";
import { PAGE_POLICY, renderStatusPage } from "../../core/status-page/render-status-page.ts";
import type { HttpAnswer, HttpRequest } from "../../platform/http/server.ts";

export interface StatusPageDeps {
  document(): StatusDocument;
  nowMs(): number;
}

/** Making a page takes the thread that answers ADDs. */
const KEEP_MS = 1000;
const HEADERS = {
  "content-security-policy": PAGE_POLICY,
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};
const IP_V4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;
const IP_V6 = /^\[[0-9a-f:.]{2,45}\]$/i;

/** @param node the node's name, by which the page may be asked for beside its addresses */
export function statusPageRoutes(
  { document, nowMs }: StatusPageDeps,
  { node }: { readonly node: string },
): Record<"/status", (request: HttpRequest) => HttpAnswer> {
  let kept: { readonly untilMs: number; readonly body: string } | undefined;
  return {
    "/status": ({ method, host }) => {
      if (method !== "GET" && method !== "HEAD") {
        return { status: 405, headers: { allow: "GET, HEAD" }, body: "This page is only read: GET or HEAD\n" };
      }
      if (!isOwnName(host, node)) {
        const body = "Cannot answer under this name: ask by the node's address or name, or by localhost\n";
        return { status: 421, body };
      }
      if (kept === undefined || nowMs() >= kept.untilMs) {
        kept = { untilMs: nowMs() + KEEP_MS, body: renderStatusPage(document()) };
      }
      return { status: 200, contentType: "text/html; charset=utf-8", headers: HEADERS, body: kept.body };
    },
  };
}

/** A page of another name that was made to lead here (DNS rebinding) could have a browser read this one for it. */
function isOwnName(host: string, node: string): boolean {
  const name = host.replace(/:\d{1,5}$/, "").toLowerCase();
  return name === "localhost" || name === node.toLowerCase() || IP_V4.test(name) || IP_V6.test(name);
}
