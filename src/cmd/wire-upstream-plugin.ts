// Joins what answers upstream's plugin for as long as a runtime still executes it. Part of wire.ts, which joins the rest.
import { join } from "node:path";
import type { SandboxService, TellRefusal } from "../agent/plugin-api/plugin-requests.ts";
import {
  createUpstreamAdds,
  createUpstreamLog,
  UPSTREAM_ADD_TIMEOUT_MS,
  type UpstreamHandler,
} from "../agent/plugin-api/upstream-requests.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import { messageOf } from "../core/error-message.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import { hostNetnsPaths } from "../core/netns/host-netns-paths.ts";
import { UPSTREAM_EVENT_SOCKET, UPSTREAM_LOG_SOCKET } from "../core/run-dir-names.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createHttpConnections } from "../platform/http/http-connections.ts";
import { dupNetns, openNetnsFile } from "../platform/linux/dup-netns.ts";
import type { NetnsHandle } from "../platform/linux/netns.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { serveUnixHttp } from "./serve-unix-http.ts";

const BACKLOG = 256;
/** Every pod that starts at one moment, and its log. */
const CONNECTIONS_MAX = 256;
/** One execution logs some twenty lines, at debug some hundred. */
const BODY_BYTES_MAX = 1 << 18;
const ANSWER_MARGIN_MS = 1000;

export interface UpstreamPluginInput {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly metrics: AgentMetrics;
  readonly poller: Poller;
  readonly sandboxes: SandboxService;
  readonly tellRefusal: TellRefusal;
}

/** What has to run until the agent ends: one server for each of upstream's two sockets. */
export function wireUpstreamPlugin(input: UpstreamPluginInput): readonly ((ending: AbortSignal) => Promise<void>)[] {
  const { config, log, clock, metrics, poller } = input;
  const serve = (fileName: string, answer: UpstreamHandler) => (ending: AbortSignal) => {
    const name = `socket ${fileName} of upstream's plugin`;
    const connections = createHttpConnections({
      answer,
      onError: (error) => log.error(`Cannot answer on the ${name}: ${messageOf(error)}`),
      maxConnections: CONNECTIONS_MAX,
      maxBodyBytes: BODY_BYTES_MAX,
      timeoutMs: UPSTREAM_ADD_TIMEOUT_MS + ANSWER_MARGIN_MS,
    });
    const path = join(config.install.runDir, fileName);
    return serveUnixHttp({ poller, log, name, path, backlog: BACKLOG, connections }, ending);
  };
  const adds = createUpstreamAdds({
    sandboxes: input.sandboxes,
    tellRefusal: input.tellRefusal,
    openNetns: openHostNetns,
    log,
    observe(responseCode, seconds) {
      metrics.pluginRequests.increment({ response_code: responseCode });
      metrics.pluginCommands.increment({ command: "ADD", result: responseCode === "200" ? "ok" : "refused" });
      metrics.pluginCommandSeconds.observe({ command: "ADD" }, seconds);
    },
    nowMs: clock.nowMs,
  });
  return [serve(UPSTREAM_EVENT_SOCKET, adds), serve(UPSTREAM_LOG_SOCKET, createUpstreamLog(log))];
}

/** @throws {Error} that names every place where it was looked for. */
function openHostNetns(path: string): NetnsHandle {
  const failures: string[] = [];
  for (const candidate of hostNetnsPaths(path)) {
    try {
      using file = openNetnsFile(candidate);
      return dupNetns(file.fd);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new Error(`Cannot open the network namespace ${path}: ${failures.join("; ")}`);
}
