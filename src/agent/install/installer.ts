/**
 * Keeps the plugin and the conflist entry on the host right for as long as the agent runs: look, let core decide, carry
 * out, look again; on every change of the folders and on a timer. Never ends the process: what cannot be done is
 * told by readiness, log and metrics and tried again. At the end everything stays in place (DESIGN 3.3).
 */

import type { NextMove } from "../../core/cni/conflist-life.ts";
import { acted, type FightNotice, type FightPolicy, isFighting, look, NEW_LIFE } from "../../core/cni/conflist-life.ts";
import type { DesiredInstall } from "../../core/cni/decide-install.ts";
import { decideRemoval } from "../../core/cni/decide-removal.ts";
import type { HostView, InstallStep } from "../../core/cni/host-view.ts";
import { fileErrorCode, fileErrorReason } from "../../core/file-error.ts";
import type { Logger } from "../../core/log.ts";
import { UNINSTALLED_MARK } from "../../core/run-dir-names.ts";
import type { Clock } from "../../platform/clock.ts";
import type { DirectoryWatch } from "../../platform/fs/directory-watch.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { applyStep, describeStep } from "./apply-step.ts";
import { cleanLeftovers } from "./clean-leftovers.ts";
import type { InstallMetrics, InstallState, InstallStatus } from "./install-status.ts";
import { createHostObserver, type HostFolders } from "./observe-host.ts";
import { isMarkedUninstalled } from "./run-dir.ts";

/** Between two attempts to take out what somebody puts in. */
const RACE_PAUSE_MS = 50;

const FIGHT_ANSWERS: Readonly<Record<FightPolicy, string>> = {
  keep: "it goes on, ever slower",
  own: "a file of our own takes its place",
  concede: "it is left alone for a while, pods start outside the mesh",
};

export type InstallerDeps = {
  readonly files: HostFiles;
  /** Ownership passes to the installer, which disposes it at its end. */
  readonly watchFolders: (folders: readonly string[]) => DirectoryWatch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: InstallMetrics;
  /** Another writer keeps taking our entry out: for a person to be told of, besides the log. */
  readonly onFight: (message: string) => void;
  /** `install-cni uninstall` was run, or is no longer in force; told when it changes, after a start with "no" only then. */
  readonly onTakenOff: (isTakenOff: boolean) => void;
};

export type InstallerOptions = HostFolders & {
  readonly desired: DesiredInstall;
  /** Mode of configuration files that did not exist before: 0o600, or 0o640 with CNI_CONF_GROUP_READ. */
  readonly newConfMode: number;
  readonly fight: FightPolicy;
  /** The agent's run directory, where the mark of an uninstall lies. */
  readonly runDir: string;
  /** Longest time between two looks, whatever the watch says. */
  readonly recheckMs: number;
};

export interface Installer {
  /** Works until the signal aborts, then resolves; never rejects. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  /** Ready when the last look found plugin and conflist right: a pod that starts now meets our plugin. */
  ready(): { readonly ready: boolean; readonly reason: string };
  status(): InstallStatus;
}

export function createInstaller(deps: InstallerDeps, options: InstallerOptions): Installer {
  const { clock, log, metrics } = deps;
  const observer = createHostObserver(deps, options);
  const watch = deps.watchFolders([...new Set([options.netDir, ...options.binDirs, options.runDir].flat())]);
  let life = NEW_LIFE;
  let folders: ReadonlySet<string> = new Set();
  let state: InstallState = "starting";
  let reason = "the host has not been looked at yet";
  let confName: string | undefined;
  let warnings: readonly string[] = [];
  let wasFighting = false;
  let lastFight: FightNotice | undefined;
  let wasTakenOff = false;

  const enter = (next: InstallState, nextReason: string): void => {
    const isNews = state !== next || reason !== nextReason;
    state = next;
    reason = nextReason;
    if (!isNews) return;
    metrics.installReady(next === "installed");
    if (next === "installed") metrics.installFinished("SUCCESS");
    announce(next, nextReason);
  };

  /** The mark tells it, not how well the entry can be taken out: pods must not come and go with each attempt. */
  const takeOff = (isTakenOff: boolean): void => {
    if (wasTakenOff !== isTakenOff) deps.onTakenOff(isTakenOff);
    wasTakenOff = isTakenOff;
  };

  const announce = (next: InstallState, text: string): void => {
    const isRepeated = isFighting(life, clock.nowMs());
    if (next === "installed" && !isRepeated) log.info(`valid Istio config present in node-level CNI file: ${text}`);
    else if (next === "waiting") log.info(`Waiting for the primary CNI: ${text}`);
    else if (next === "removed") log.warn(`Not installed: ${text}`);
    else if (next === "blocked") log.error(`Cannot install the plugin: ${text}`);
  };

  const warn = (next: readonly string[]): void => {
    for (const warning of next) if (!warnings.includes(warning)) log.warn(warning);
    warnings = next;
  };

  const tellOfFight = (netDir: string, notice: FightNotice): void => {
    const { name, writer, advice, times, policy } = notice;
    lastFight = notice;
    const message = `Another writer keeps taking our entry out of ${netDir}/${name}: ${writer}; put back ${times} times in a row, ${FIGHT_ANSWERS[policy]}; ${advice}`;
    log.warn(message);
    deps.onFight(message);
  };

  const fail = (target: string, step: InstallStep, error: unknown): void => {
    const what = "dir" in step ? `copy the plugin to ${step.dir}` : `change ${target}/${step.name}`;
    const hint =
      "dir" in step && fileErrorCode(error) === "read-only"
        ? "; on platforms with a read-only /opt, set global.platform in the chart"
        : "";
    enter("failed", `cannot ${what}: ${fileErrorReason(error)}${hint}`);
    metrics.installFinished("dir" in step ? "COPY_BINARIES_FAILURE" : "CREATE_CNI_CONFIG_FAILURE");
    log.error(`Cannot ${what}: ${fileErrorReason(error)}${hint}`);
  };

  /** Carries the steps out in order, up to the first that fails or meets another writer ("raced"). */
  const apply = async (
    netDir: string,
    steps: readonly InstallStep[],
    isCalledOff: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<"done" | "raced" | "failed"> => {
    for (const step of steps) {
      if (signal.aborted || (await isCalledOff())) return "raced";
      try {
        await applyStep(deps.files, { netDir, newConfMode: options.newConfMode }, step, observer.pluginBytes());
      } catch (error) {
        if (fileErrorCode(error) === "changed") return "raced";
        fail(netDir, step, error);
        return "failed";
      }
      const line = describeStep(netDir, step);
      if (isFighting(life, clock.nowMs())) log.debug(line);
      else log.info(line);
    }
    return "done";
  };

  /** Somebody takes us off the node: whatever of ours is in a file goes, also what a step of ours has just put there. */
  const stayAway = async (view: HostView, signal: AbortSignal): Promise<NextMove> => {
    const steps = decideRemoval(view, options.desired).filter((step) => !("dir" in step));
    if (steps.length === 0 || state !== "failed")
      enter("removed", "it was taken off this node by install-cni uninstall; restart the agent to install it again");
    if (steps.length === 0) return { kind: "watch", ms: undefined };
    const result = await apply(view.netDir.path, steps, async () => false, signal);
    if (result === "failed") return { kind: "pause", ms: options.recheckMs, isSpread: true };
    return { kind: "pause", ms: RACE_PAUSE_MS, isSpread: false };
  };

  const pass = async (signal: AbortSignal): Promise<NextMove> => {
    const view = await observer.observe();
    folders = foldersOf(view);
    takeOff(await isMarkedUninstalled(deps.files, options.runDir));
    if (wasTakenOff) return await stayAway(view, signal);
    const looked = look(life, view, options.desired, options.fight, clock.nowMs());
    const { decision, next } = looked;
    life = looked.life;
    warn(decision.warnings);
    if (decision.state === "installed") confName = decision.confName;
    if (decision.steps.length === 0 || state !== "failed") enter(decision.state, decision.reason);
    if (next.kind !== "act") return next;
    const isCalledOff = () => isMarkedUninstalled(deps.files, options.runDir);
    const result = await apply(view.netDir.path, decision.steps, isCalledOff, signal);
    const after = acted(looked, result, options.fight, clock.nowMs());
    if (after.life.rewrites > life.rewrites) metrics.conflistReasserted();
    life = after.life;
    if (after.notice !== undefined) tellOfFight(view.netDir.path, after.notice);
    return after.next;
  };

  /** No defect of ours may end the agent, which would leave the node to nobody. */
  const guardedPass = async (signal: AbortSignal): Promise<NextMove> => {
    try {
      return await pass(signal);
    } catch (error) {
      enter("failed", `an unexpected failure: ${fileErrorReason(error)}`);
      log.error(`Cannot check the installation: unexpected failure: ${fileErrorReason(error)}`);
      return { kind: "pause", ms: options.recheckMs, isSpread: true };
    }
  };

  const rest = async (next: NextMove, signal: AbortSignal): Promise<void> => {
    const isFightingNow = isFighting(life, clock.nowMs());
    if (isFightingNow !== wasFighting) metrics.conflistFought(isFightingNow);
    wasFighting = isFightingNow;
    if (next.kind === "watch") {
      await watch.wait(Math.min(options.recheckMs, next.ms ?? options.recheckMs), signal);
    } else if (next.kind === "pause" && next.ms > 0) {
      const ms = next.isSpread ? next.ms * (0.5 + deps.random() / 2) : next.ms;
      await clock.sleep(ms, signal).catch(() => undefined);
    }
  };

  return {
    async run(signal) {
      metrics.installReady(false);
      try {
        await cleanLeftovers(deps, options);
        await deps.files.remove(options.runDir, UNINSTALLED_MARK, "any").catch(() => undefined);
        while (!signal.aborted) {
          watch.arm();
          await rest(await guardedPass(signal), signal);
        }
      } finally {
        watch[Symbol.dispose]();
        enter("stopped", "the agent ends");
      }
    },
    ready: () => ({ ready: state === "installed", reason }),
    status: () => ({
      state,
      reason,
      confName,
      warnings,
      rewrites: life.rewrites,
      fight: isFighting(life, clock.nowMs()) ? lastFight : undefined,
      unwatched: new Map([...watch.unwatched()].filter(([folder]) => folders.has(folder))),
    }),
  };
}

function foldersOf({ netDir, binDirs }: HostView): ReadonlySet<string> {
  return new Set([netDir.path, ...binDirs.map(({ path }) => path)]);
}
