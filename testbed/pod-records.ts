// For tests: one node with a real folder, on which agents follow each other; namespaces are numbers, and time passes when
// the test says so.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createPodRecords,
  type OpenNetns,
  type PodDecision,
  type PodRecords,
  type PodRecordsOptions,
} from "../src/agent/pod-records/pod-records.ts";
import type { Logger } from "../src/core/log.ts";
import type { NetnsIdentity } from "../src/core/netns/netns-id.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../src/core/rules/sidecar-capture.ts";
import {
  createPrivateFolder,
  isTemporaryName,
  type PrivateFolderCalls,
  privateFolderCalls,
} from "../src/platform/fs/private-folder.ts";
import { TurnedClock } from "./turned-clock.ts";
import { until } from "./until.ts";

const BOOT = "2b6a9a43-7d5f-4c0f-8d2c-0c9f9e3d3a10";
export const NEXT_BOOT = "3b6a9a43-7d5f-4c0f-8d2c-0c9f9e3d3a11";

/** A running agent's records. */
export interface TestRecords extends PodRecords {
  /** Ends the agent as SIGTERM does. */
  end(): Promise<void>;
}

export class TestNode {
  readonly root = mkdtempSync(join(tmpdir(), "istio-cni-records-"));
  readonly path = join(this.root, "pods");
  readonly logged: string[] = [];
  readonly failures: string[] = [];
  /** Replaces calls of the file system. */
  calls: Partial<PrivateFolderCalls> = {};
  bootId: string | undefined = BOOT;
  readonly clock = new TurnedClock();
  /** By descriptor. */
  readonly identities = new Map<number, NetnsIdentity>();
  identified = 0;

  /** A namespace that is open. */
  netns(ino: number, cookie: number | undefined = ino): OpenNetns {
    const fd = 100 + this.identities.size;
    const identity = { dev: 4n, ino: BigInt(ino), cookie: cookie === undefined ? undefined : BigInt(cookie) };
    this.identities.set(fd, identity);
    return { fd, dev: identity.dev, ino: identity.ino };
  }

  /** A new agent, whose records have been read. */
  async start(options: PodRecordsOptions = {}): Promise<TestRecords> {
    const agent = this.launch(options);
    await agent.loaded;
    return agent;
  }

  launch(options: PodRecordsOptions = {}): TestRecords {
    const ending = new AbortController();
    const records = createPodRecords(
      {
        folder: createPrivateFolder(this.path, process.getuid?.() ?? 0, { ...privateFolderCalls, ...this.calls }),
        isTemporaryName,
        identify: (fd) => {
          this.identified++;
          const identity = this.identities.get(fd);
          if (identity === undefined) throw new Error(`EBADF: ${fd}`);
          return identity;
        },
        bootId: this.bootId,
        clock: this.clock,
        wallMs: () => 1_790_000_000_000 + this.clock.nowMs(),
        log: this.#logger(),
        countFailure: (action) => void this.failures.push(action),
        yieldToLoop: () => new Promise((resolve) => void setImmediate(resolve)),
      },
      options,
    );
    const running = records.run(ending.signal);
    return {
      ...records,
      end: async () => {
        ending.abort(new Error("the agent ends"));
        await running;
      },
    };
  }

  files(): string[] {
    try {
      return readdirSync(this.path).toSorted();
    } catch {
      return [];
    }
  }

  text(name: string): string {
    return readFileSync(join(this.path, name), "utf8");
  }

  put(name: string, text: string, mode = 0o600): void {
    writeFileSync(join(this.path, name), text, { mode });
  }

  /** Resolves as soon as the condition holds. @throws {Error} when it does not within a minute. */
  until(condition: () => boolean): Promise<void> {
    return until("what is expected of the records", condition);
  }

  advance(ms: number): void {
    this.clock.jump(ms);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #logger(): Logger {
    const log: Logger = {
      debug() {},
      info: (message) => void this.logged.push(message),
      warn: (message) => void this.logged.push(message),
      error: (message) => void this.logged.push(message),
      scope: () => log,
    };
    return log;
  }
}

/** A sidecar pod, captured at its ADD. */
export function captured(podUid: string, change: Partial<Extract<PodDecision, { mode: "sidecar" }>> = {}): PodDecision {
  return {
    mode: "sidecar",
    podUid,
    podNamespace: "shop",
    podName: `pod-${podUid}`,
    containerId: `sandbox-of-${podUid}`,
    decidedBy: "add",
    reason: "sidecar",
    capture: DEFAULT_SIDECAR_CAPTURE,
    wasInPlace: true,
    ...change,
  };
}
