/**
 * What upstream's plugin gets from us in the place of its own agent: enrolment at `POST /cmdadd` (`pluginevent.sock`) and
 * its log lines taken at `POST /log` (`log.sock`), contract 3.9 and 3.10. For the time in which a runtime still executes it:
 * it is in a chain that has just been taken over, or could not be replaced on the disk.
 */
import { CniError, toCniError } from "../../core/cni/cni-error.ts";
import type { Logger } from "../../core/log.ts";
import { parseUpstreamAdd, type UpstreamAdd, UpstreamAddError } from "../../core/plugin-protocol/upstream-add.ts";
import { parseUpstreamLog } from "../../core/plugin-protocol/upstream-log.ts";
import type { HttpRequestRest } from "../../platform/http/http-connections.ts";
import type { HttpAnswer } from "../../platform/http/server.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import type { SandboxService, TellRefusal } from "./plugin-requests.ts";

/** Upstream's plugin hangs up after 5 s (cnieventclient.go@1.30.3); a sentence must reach it before. */
export const UPSTREAM_ADD_TIMEOUT_MS = 4500;

export type UpstreamHandler = (method: string, target: string, rest: HttpRequestRest) => Promise<HttpAnswer>;

export interface UpstreamAddsDeps {
  readonly sandboxes: Pick<SandboxService, "add">;
  /** Opens the namespace that the runtime knows by this path. @throws {Error} ENOENT and the like, or that it is none. */
  openNetns(path: string): NetnsHandle;
  readonly tellRefusal: TellRefusal;
  readonly log: Logger;
  /** Once per request: the values of upstream's label `response_code`. */
  observe(responseCode: "200" | "400" | "500", seconds: number): void;
  nowMs(): number;
}

/** Answers `pluginevent.sock`: 200 when the pod may start, 400 to what is no request, else 500 with the reason. */
export function createUpstreamAdds(deps: UpstreamAddsDeps): UpstreamHandler {
  /** Resolves when the pod may start. */
  async function add(request: UpstreamAdd, hangUp: AbortSignal): Promise<void> {
    using netns = deps.openNetns(request.netnsPath);
    const { podName, podNamespace, ips } = request;
    const ending = new AbortController();
    const deadline = setTimeout(() => ending.abort("deadline"), UPSTREAM_ADD_TIMEOUT_MS);
    const onHangUp = (): void => ending.abort("plugin-gone");
    hangUp.addEventListener("abort", onHangUp, { once: true });
    try {
      const sandbox = {
        // It tells none; the same sandbox has the same again.
        containerId: `netns-${netns.ino}`,
        podUid: undefined,
        annotations: undefined,
        netnsFd: netns.fd,
      };
      await deps.sandboxes.add({ ...sandbox, podName, podNamespace, ips }, ending.signal);
    } catch (cause) {
      if (ending.signal.reason !== "deadline") throw cause;
      const message = `Cannot start pod ${podNamespace}/${podName}: istio-cni did not finish before the plugin gives up`;
      throw new CniError("tryAgainLater", message, { cause });
    } finally {
      clearTimeout(deadline);
      hangUp.removeEventListener("abort", onHangUp);
    }
  }

  return async (_method, target, rest) => {
    if (pathOf(target) !== "/cmdadd") return NOT_FOUND;
    const startedMs = deps.nowMs();
    const answer = (status: 200 | 400 | 500, body: string): HttpAnswer => {
      deps.observe(status === 200 ? "200" : status === 400 ? "400" : "500", (deps.nowMs() - startedMs) / 1000);
      return { status, body };
    };
    let request: UpstreamAdd | undefined;
    try {
      request = parseUpstreamAdd(await rest.body());
      await add(request, rest.signal);
      return answer(200, "");
    } catch (error) {
      if (error instanceof UpstreamAddError) {
        deps.log.warn("Refused what is no request of upstream's plugin", { err: error.message });
        return answer(400, `Cannot read the request: ${error.message}\n`);
      }
      const refusal = toCniError(error);
      const pod = request === undefined ? {} : { ns: request.podNamespace, name: request.podName };
      if (rest.signal.aborted) deps.log.info("Let ADD of a pod go: upstream's plugin has hung up", pod);
      else {
        deps.log.error("Refused ADD of a pod to upstream's plugin", { ...pod, err: refusal.message });
        if (request !== undefined)
          deps.tellRefusal({ namespace: request.podNamespace, name: request.podName }, refusal.message);
      }
      const details = refusal.details === "" ? "" : `. ${refusal.details}`;
      return answer(500, `${refusal.message}${details}\n`);
    }
  };
}

/** Answers `log.sock`: 200 whatever comes; lines go into our log under `cni-plugin`. */
export function createUpstreamLog(log: Logger): UpstreamHandler {
  const plugin = log.scope("cni-plugin");
  return async (_method, target, rest) => {
    if (pathOf(target) !== "/log") return NOT_FOUND;
    const lines = parseUpstreamLog(await rest.body());
    if (lines === undefined) log.warn("Cannot read the log lines of upstream's plugin: they are no JSON list");
    for (const { level, message, labels } of lines ?? []) plugin[level](message, labels);
    return { status: 200, body: "" };
  };
}

const NOT_FOUND: HttpAnswer = { status: 404, body: "404 page not found\n" };

function pathOf(target: string): string {
  return target.split("?", 1)[0] ?? "";
}
