/**
 * Keeps the state file true: what the plugin may know while no agent answers. It is written at start, when the facts change
 * and when somebody else has changed it, and stays when the agent ends, which is what it is for. Its form and what the
 * plugin makes of it: plugin/CONTRACT.md. Where the facts come from is the business of whoever calls.
 */
import { nameBehind } from "../../core/cni/temporary-name.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import {
  type Enrollment,
  MAX_STATE_BYTES,
  parsePluginState,
  renderPluginState,
  STATE_FILE_NAME,
  type WhenAway,
} from "../../core/plugin-protocol/state-file.ts";
import { isSameBytes } from "../../core/same-bytes.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";

export interface PluginStateDeps {
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PluginStateOptions {
  readonly runDir: string;
  readonly mode: "sidecar" | "ambient";
  readonly whenAway: WhenAway;
  readonly excludedNamespaces: readonly string[];
  /** Our own uid: a predecessor's file of another owner is not believed. */
  readonly uid: number;
  /** How often the file is looked at when nothing happens. */
  readonly recheckMs: number;
}

export interface PluginStateFile {
  /** Keeps the file until the signal aborts. Never rejects: without the file the plugin only waits more often. */
  run(signal: AbortSignal): Promise<void>;
  /** All namespaces of a complete list, and which of them enrol their pods by label. Replaces what was known. */
  setNamespaces(all: Iterable<string>, enrolling: Iterable<string>): void;
  /** A pod of this namespace was enrolled by its own label: remembered as long as the namespace is there. */
  notePodEnrolled(namespace: string): void;
}

const RETRY_MS = 1000;

/** Nothing is read or written before `run`. */
export function createPluginState(deps: PluginStateDeps, options: PluginStateOptions): PluginStateFile {
  const { files, clock, log } = deps;
  const byPod = new Set<string>();
  let byNamespace: ReadonlySet<string> | undefined;
  let complaint: string | undefined;
  let changed = new AbortController();

  /** Own labels are remembered over restarts; until all namespaces are seen, so are the enrolling ones. */
  async function recall(): Promise<void> {
    const bytes = await readTrusted();
    const before = bytes === undefined ? undefined : parsePluginState(bytes);
    if (before?.mode !== "ambient" || options.mode !== "ambient" || before.enrollment === undefined) return;
    for (const name of before.enrollment.byPod) byPod.add(name);
    byNamespace ??= new Set(before.enrollment.byNamespace);
  }

  /** The file's bytes if the plugin would believe it (regular, ours, for us alone to write); undefined otherwise. */
  async function readTrusted(): Promise<Uint8Array | undefined> {
    try {
      const file = await files.read(options.runDir, STATE_FILE_NAME, { maxBytes: MAX_STATE_BYTES, follow: false });
      return file.uid === options.uid && (file.mode & 0o022) === 0 ? file.bytes : undefined;
    } catch {
      return undefined;
    }
  }

  async function pass(): Promise<"kept" | "failed"> {
    const desired = renderPluginState({ ...options, enrollment: enrollment() });
    const current = await readTrusted();
    if (current !== undefined && isSameBytes(current, desired)) return "kept";
    try {
      await files.write(options.runDir, STATE_FILE_NAME, desired, { mode: 0o600, keepOf: undefined, expected: "any" });
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== complaint)
        log.warn(`Cannot keep the plugin's state file, pods wait while the agent is away: ${reason}`);
      complaint = reason;
      return "failed";
    }
    complaint = undefined;
    log.debug(`Wrote ${options.runDir}/${STATE_FILE_NAME}`, { bytes: desired.length });
    return "kept";
  }

  function enrollment(): Enrollment | undefined {
    if (options.mode !== "ambient" || byNamespace === undefined) return undefined;
    return { byNamespace: [...byNamespace], byPod: [...byPod] };
  }

  /** Killed in the middle of a write, a predecessor leaves its temporary file. */
  async function removeLeftovers(): Promise<void> {
    const names = await files.list(options.runDir).catch(() => []);
    for (const name of names) {
      if (nameBehind(name) === STATE_FILE_NAME) await files.remove(options.runDir, name, "any").catch(() => undefined);
    }
  }

  return {
    async run(signal) {
      await recall();
      await removeLeftovers();
      while (!signal.aborted) {
        changed = new AbortController();
        const waitMs = (await pass()) === "kept" ? options.recheckMs : RETRY_MS;
        await clock.sleep(waitMs, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
      }
    },
    setNamespaces(all, enrolling) {
      const existing = new Set(all);
      for (const name of byPod) if (!existing.has(name)) byPod.delete(name);
      byNamespace = new Set(enrolling);
      changed.abort();
    },
    notePodEnrolled(namespace) {
      if (byPod.has(namespace)) return;
      byPod.add(namespace);
      changed.abort();
    },
  };
}
