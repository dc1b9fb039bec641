/**
 * The two HTTP endpoints of the agent: health (/readyz, /healthz) and metrics (/metrics). A port that cannot be had is
 * reported and tried again, because a predecessor on the host network may still hold it; meanwhile the agent works on.
 */

import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import { METRICS_CONTENT_TYPE } from "../../core/metrics/registry.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpAnswer, HttpListener, HttpListenOptions } from "../../platform/http/server.ts";
import type { Condition, Readiness } from "./readiness.ts";

export interface EndpointDeps {
  listen(options: HttpListenOptions): Promise<HttpListener>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface EndpointOptions {
  /** For the log and the condition: "health", "metrics". */
  readonly name: string;
  /** 0 or less: no listener, and nothing to be ready for. */
  readonly port: number;
  readonly routes: HttpListenOptions["routes"];
  /** Unmet while the port is not to be had. */
  readonly condition?: Condition;
  /** Running requests get this long when the signal aborts. */
  readonly closeDeadlineMs: number;
}

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 10_000;

/** Serves until the signal aborts; resolves when everything is closed. Rejects for nothing. */
export async function serveEndpoint(deps: EndpointDeps, options: EndpointOptions, signal: AbortSignal): Promise<void> {
  const { name, port, condition } = options;
  if (port <= 0) {
    deps.log.info(`${name} endpoint is off`, { port });
    condition?.ready();
    return;
  }
  const listener = await listenPersistently(deps, options, signal);
  if (listener === undefined) return;
  deps.log.debug(`${name} endpoint is served`, { port: listener.port });
  condition?.ready();
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  await listener.close(options.closeDeadlineMs);
}

async function listenPersistently(
  { listen, clock, log }: EndpointDeps,
  { name, port, routes, condition }: EndpointOptions,
  signal: AbortSignal,
): Promise<HttpListener | undefined> {
  const onError = (error: unknown): void => log.error(`${name} endpoint failed to answer: ${messageOf(error)}`);
  let said: string | undefined;
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      const listener = await listen({ port, routes, onError });
      if (said !== undefined) log.info(`Listening on port ${port} now`, { endpoint: name });
      return listener;
    } catch (error) {
      const reason = `Cannot listen on port ${port}: ${messageOf(error)}`;
      // A port that stays taken for hours is worth one line, not one per attempt.
      if (reason !== said) log.warn(`${reason}; trying again`, { endpoint: name });
      said = reason;
      condition?.notReady(`${reason}; trying again`);
    }
    await clock.sleep(doublingDelayMs(RETRY_FIRST_MS, RETRY_MAX_MS, failures), signal).catch(() => undefined);
  }
  return undefined;
}

/** /readyz: 200 empty, or 503 with the unmet conditions; /healthz: 200 empty as long as the process answers. */
export function healthRoutes(readiness: Readiness): Record<"/readyz" | "/healthz", () => HttpAnswer> {
  return {
    "/readyz": () =>
      readiness.isReady() ? { status: 200, body: "" } : { status: 503, body: readiness.renderUnready() },
    "/healthz": () => ({ status: 200, body: "" }),
  };
}

/** /metrics in the Prometheus text format. */
export function metricsRoutes(registry: { render(): string }): Record<"/metrics", () => HttpAnswer> {
  return { "/metrics": () => ({ status: 200, contentType: METRICS_CONTENT_TYPE, body: registry.render() }) };
}
