/**
 * Takes everything of ours off the host again. Only on a proven wish: the uninstall command calls this, and the end of the
 * agent where removal is proven (core/cni/removal-proof.ts), never an ordinary end (contract 10.2 D8).
 */
import { decideRemoval, findUnclearNames } from "../../core/cni/decide-removal.ts";
import type { HostView, InstallStep } from "../../core/cni/host-view.ts";
import { PLUGIN_TYPE } from "../../core/cni/plugin-entry.ts";
import { fileErrorCode, fileErrorReason } from "../../core/file-error.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { applyStep, describeStep } from "./apply-step.ts";
import { cleanLeftovers } from "./clean-leftovers.ts";
import { createHostObserver, type HostFolders } from "./observe-host.ts";

/** Looks in all, so that a writer that keeps putting us back does not keep us for ever. */
const MAX_LOOKS = 20;

export type RemovalDeps = {
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who still calls the plugin for sandboxes that were made with it; undefined: nobody. */
  readonly pluginUsers: (view: HostView) => Promise<string | undefined>;
};

export type RemovalOptions = HostFolders & {
  readonly ownedName: string;
  /** How long a runtime may go on with the chain it had read: so long the plugin stays after its last entry has gone. */
  readonly drainMs: number;
  /** An agent runs, and may be in the middle of a step that it decided on before it was told to put nothing back. */
  readonly isWatched: boolean;
};

/** What was done, and what could not be. */
export type RemovalReport = {
  /** One line per change, in order. */
  readonly done: readonly string[];
  /** Left on purpose: it harms nobody, and taking it away would. */
  readonly kept: readonly Leftover[];
  /** Could not be removed; the host is usable as it is. */
  readonly failed: readonly Leftover[];
};

export type Leftover = { readonly path: string; readonly reason: string };

/**
 * Puts every conflist back to the bytes it had without us, waits for the runtime to take notice, then removes the plugin.
 * No conflist is ever left naming a missing plugin. May be called again at any time, and starts over when another writer
 * interferes. Rejects with the signal's reason only.
 */
export async function removeFromHost(
  deps: RemovalDeps,
  options: RemovalOptions,
  signal: AbortSignal,
): Promise<RemovalReport> {
  const { clock, log, files } = deps;
  const observer = createHostObserver(deps, options);
  const done: string[] = [];
  let hasDrained = false;

  /** What stopped it, if anything: "raced" means look again. */
  const carryOut = async (netDir: string, steps: readonly InstallStep[]): Promise<Leftover | "raced" | undefined> => {
    for (const step of steps) {
      try {
        await applyStep(files, { netDir, newConfMode: 0o600 }, step, undefined);
      } catch (error) {
        if (fileErrorCode(error) === "changed") return "raced";
        const path = "dir" in step ? `${step.dir}/${PLUGIN_TYPE}` : `${netDir}/${step.name}`;
        return { path, reason: fileErrorReason(error) };
      }
      const line = describeRemoval(netDir, step);
      done.push(line);
      log.info(line);
    }
    return undefined;
  };

  const ended = async (kept: readonly Leftover[], failed: readonly Leftover[]): Promise<RemovalReport> => {
    await cleanLeftovers(deps, options);
    return { done, kept, failed };
  };

  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    signal.throwIfAborted();
    const view = await observer.observe();
    const { netDir } = view;
    if ("unavailable" in netDir) return await ended([], [{ path: netDir.path, reason: netDir.unavailable }]);
    const steps = decideRemoval(view, options);
    const confs = steps.filter((step) => !("dir" in step));
    const plugins = steps.filter((step) => "dir" in step);
    if (confs.length > 0) {
      const problem = await carryOut(netDir.path, confs);
      if (problem !== undefined && problem !== "raced") return await ended([], [problem]);
      continue;
    }
    const unreadable = view.binDirs.flatMap((dir) =>
      "unavailable" in dir ? [{ path: dir.path, reason: dir.unavailable }] : [],
    );
    if (plugins.length === 0) return await ended([], unreadable);
    if (!hasDrained && (options.isWatched || done.length > 0)) {
      await clock.sleep(options.drainMs, signal);
      hasDrained = true;
      continue;
    }
    const reason = await reasonToKeep(deps, view);
    if (reason !== undefined) {
      return await ended(
        plugins.map((step) => ({ path: `${step.dir}/${PLUGIN_TYPE}`, reason })),
        unreadable,
      );
    }
    const problem = await carryOut(netDir.path, plugins);
    if (problem !== undefined && problem !== "raced") return await ended([], [problem, ...unreadable]);
  }
  const reason = "somebody keeps putting it back: is an agent still running on this node?";
  return await ended([], [{ path: PLUGIN_TYPE, reason }]);
}

async function reasonToKeep(deps: RemovalDeps, view: HostView): Promise<string | undefined> {
  const [unclear] = findUnclearNames(view);
  if (unclear !== undefined) return `${unclear} may name it and cannot be read as a configuration`;
  return await deps.pluginUsers(view);
}

function describeRemoval(netDir: string, step: InstallStep): string {
  return step.kind === "write-conf" && step.expected !== undefined
    ? `Took our entry out of ${netDir}/${step.name}`
    : describeStep(netDir, step);
}
