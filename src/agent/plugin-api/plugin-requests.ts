// What the agent answers to a plugin: reads the request to types, asks the service that programs pods, and turns its
// outcome into exit code and stdout. The one place where failures become CNI errors of the agent.

import { type CniArgs, parseCniArgs } from "../../core/cni/cni-args.ts";
import { CniError, renderCniError, toCniError } from "../../core/cni/cni-error.ts";
import { type Netconf, parseNetconf, peekCniVersion } from "../../core/cni/netconf.ts";
import type { Sandbox } from "../../core/cni/sandbox.ts";
import type { Logger } from "../../core/log.ts";
import type { PluginAnswer, PluginRequest } from "../../core/plugin-protocol/request.ts";

/** Programs pods. Throws CniError, or anything else for what it did not expect. */
export interface SandboxService {
  /** Resolves when the pod may start. Idempotent. */
  add(sandbox: Sandbox, signal: AbortSignal): Promise<void>;
  /** Resolves when what was programmed still stands. */
  check(sandbox: Sandbox, signal: AbortSignal): Promise<void>;
  /** The sandbox is going away; never fails. */
  remove(sandbox: { readonly containerId: string }): void;
}

/** Tells a person that a pod was refused at ADD, beside the log; the kubelet tells it too, among much else. Returns at once. */
export type TellRefusal = (pod: { readonly namespace: string; readonly name: string }, message: string) => void;

export interface PluginRequestsDeps {
  readonly sandboxes: SandboxService;
  readonly tellRefusal: TellRefusal;
  readonly log: Logger;
  /** Once per request: command, seconds and result, for the metrics. */
  observe(command: string, seconds: number, result: "ok" | "refused" | "failed"): void;
  nowMs(): number;
}

/** The handler for `servePlugins`. */
export function createPluginRequests(
  deps: PluginRequestsDeps,
): (request: PluginRequest, netnsFd: number | undefined, signal: AbortSignal) => Promise<PluginAnswer> {
  return async (request, netnsFd, signal) => {
    const startedMs = deps.nowMs();
    let result: "ok" | "refused" | "failed" = "ok";
    let sandbox: Sandbox | undefined;
    try {
      if (request.command === "DEL") {
        deps.sandboxes.remove({ containerId: request.containerId });
        return { exitCode: 0 };
      }
      const netconf = parseNetconf(request.stdin);
      sandbox = sandboxOf(request, parseCniArgs(request.args), netconf, netnsFd);
      await deps.sandboxes[request.command === "ADD" ? "add" : "check"](sandbox, signal);
      return { exitCode: 0 };
    } catch (error) {
      const refusal = signal.reason === "deadline" ? overdue(error) : toCniError(error);
      const isNobodyWaiting = signal.aborted && signal.reason !== "deadline";
      result = error instanceof CniError ? "refused" : "failed";
      const labels = { containerId: request.containerId, args: request.args };
      if (isNobodyWaiting) deps.log.info(`Let ${request.command} of a pod go: ${signal.reason}`, labels);
      else {
        deps.log.error(`Refused ${request.command} of a pod`, { ...labels, code: refusal.code, err: refusal.message });
        if (request.command === "ADD" && sandbox !== undefined)
          deps.tellRefusal({ namespace: sandbox.podNamespace, name: sandbox.podName }, refusal.message);
      }
      return { exitCode: 1, stdout: renderCniError(refusal, peekCniVersion(request.stdin)) };
    } finally {
      deps.observe(request.command, (deps.nowMs() - startedMs) / 1000, result);
    }
  };
}

function sandboxOf(request: PluginRequest, args: CniArgs, netconf: Netconf, netnsFd: number | undefined): Sandbox {
  if (args.podName === undefined || args.podNamespace === undefined) {
    throw new CniError(
      "invalidEnvironment",
      "Cannot tell which pod this is: CNI_ARGS has no K8S_POD_NAME or K8S_POD_NAMESPACE",
    );
  }
  if (netnsFd === undefined) {
    throw new CniError("invalidNetns", "Cannot program the pod: the plugin passed no network namespace");
  }
  return {
    containerId: request.containerId,
    podName: args.podName,
    podNamespace: args.podNamespace,
    podUid: args.podUid,
    netnsFd,
    annotations: netconf.podAnnotations === undefined ? undefined : recordOf(netconf.podAnnotations),
    ips: (netconf.prevResult?.ips ?? []).map(({ address }) => ({ family: address.family, bytes: address.bytes })),
  };
}

/** A record without prototype: a pod may name an annotation anything. */
function recordOf(map: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  const record: Record<string, string> = Object.create(null);
  for (const [key, value] of map) record[key] = value;
  return record;
}

function overdue(cause: unknown): CniError {
  return new CniError("tryAgainLater", "Cannot start the pod: istio-cni did not finish before its deadline", {
    details:
      "The runtime tries again by itself. If it goes on, look at the log of the istio-cni-node pod of this node.",
    cause,
  });
}
