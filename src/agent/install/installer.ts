/**
 * Keeps the plugin and the conflist entry on the host right for as long as the agent runs: look, let core decide, carry
 * out, look again; on every change of the folders and on a timer. Never ends the process: what cannot be done is
 * told by readiness, log and metrics and tried again. At the end everything stays in place (DESIGN 3.3).
 */

import { type DesiredInstall, decideInstall, type InstallDecision } from "../../core/cni/decide-install.ts";
import type { InstallStep } from "../../core/cni/host-view.ts";
import { afterRewrite, isFight, QUIET, waitBeforeRewriteMs } from "../../core/cni/rewrite-throttle.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { DirectoryWatch } from "../../platform/fs/directory-watch.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { applyStep, describeStep } from "./apply-step.ts";
import { cleanLeftovers } from "./clean-leftovers.ts";
import { fileErrorCode, fileErrorReason } from "./file-failure.ts";
import type { InstallMetrics, InstallState, InstallStatus } from "./install-status.ts";
import { createHostObserver, type HostFolders } from "./observe-host.ts";

const RETRY_FIRST_MS = 250;
const RETRY_LONGEST_MS = 10_000;
/** Passes that change something may follow each other at once so often; then they are spaced as failures are. */
const CHANGES_AT_ONCE = 5;

export type InstallerDeps = {
  readonly files: HostFiles;
  /** Ownership passes to the installer, which disposes it at its end. */
  readonly watchFolders: (folders: readonly string[]) => DirectoryWatch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: InstallMetrics;
};

export type InstallerOptions = HostFolders & {
  readonly desired: DesiredInstall;
  /** Mode of configuration files that did not exist before: 0o600, or 0o640 with CNI_CONF_GROUP_READ. */
  readonly newConfMode: number;
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

/** What follows a pass: wait for a change at most so long, or for a time whatever changes. */
type Next = { readonly kind: "watch" | "pause"; readonly ms: number };

export function createInstaller(deps: InstallerDeps, options: InstallerOptions): Installer {
  const { clock, log, metrics } = deps;
  const observer = createHostObserver(deps, options);
  const watch = deps.watchFolders([options.netDir, ...options.binDirs]);
  let state: InstallState = "starting";
  let reason = "the host has not been looked at yet";
  let confName: string | undefined;
  let warnings: readonly string[] = [];
  let throttle = QUIET;
  let rewrites = 0;
  let failures = 0;
  let changes = 0;

  const enter = (next: InstallState, nextReason: string): void => {
    const isNews = state !== next || reason !== nextReason;
    state = next;
    reason = nextReason;
    if (!isNews) return;
    metrics.installReady(next === "installed");
    if (next === "installed") metrics.installFinished("SUCCESS");
    announce(next, nextReason);
  };

  const announce = (next: InstallState, text: string): void => {
    const isRepeated = isFight(throttle, clock.nowMs());
    if (next === "installed" && !isRepeated) log.info(`valid Istio config present in node-level CNI file: ${text}`);
    else if (next === "waiting") log.info(`Waiting for the primary CNI: ${text}`);
    else if (next === "blocked") log.error(`Cannot install the plugin: ${text}`);
  };

  const warn = (next: readonly string[]): void => {
    for (const warning of next) if (!warnings.includes(warning)) log.warn(warning);
    warnings = next;
  };

  /** The file in which we had seen our entry last, if it is to be written again: another writer took the entry out. */
  const findLost = (decision: InstallDecision): string | undefined =>
    decision.steps.some((step) => step.kind === "write-conf" && step.name === confName) ? confName : undefined;

  const countRewrite = (name: string): void => {
    const after = afterRewrite(throttle, clock.nowMs());
    throttle = after.state;
    rewrites++;
    metrics.conflistReasserted();
    if (!after.isWarningDue) return;
    const hint = name.includes("cilium") ? "; with Cilium, set cni.exclusive=false" : "";
    log.warn(
      `Another writer keeps taking our entry out of ${options.netDir}/${name}: put back ${throttle.count} times in a row${hint}`,
    );
  };

  const fail = (step: InstallStep, error: unknown): void => {
    const what = "dir" in step ? `copy the plugin to ${step.dir}` : `change ${options.netDir}/${step.name}`;
    const hint =
      "dir" in step && fileErrorCode(error) === "read-only"
        ? "; on platforms with a read-only /opt, set global.platform in the chart"
        : "";
    enter("failed", `cannot ${what}: ${fileErrorReason(error)}${hint}`);
    metrics.installFinished("dir" in step ? "COPY_BINARIES_FAILURE" : "CREATE_CNI_CONFIG_FAILURE");
    log.error(`Cannot ${what}: ${fileErrorReason(error)}${hint}`);
  };

  const retryMs = (times: number): number => {
    const ms = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** Math.min(times, 10));
    return ms * (0.5 + deps.random() / 2);
  };

  /** Carries the steps out in order, up to the first that fails or meets another writer ("raced"). */
  const apply = async (steps: readonly InstallStep[], signal: AbortSignal): Promise<"done" | "raced" | "failed"> => {
    for (const step of steps) {
      if (signal.aborted) return "raced";
      try {
        await applyStep(deps.files, options, step, observer.pluginBytes());
      } catch (error) {
        if (fileErrorCode(error) === "changed") return "raced";
        fail(step, error);
        return "failed";
      }
      const line = describeStep(options.netDir, step);
      if (isFight(throttle, clock.nowMs())) log.debug(line);
      else log.info(line);
    }
    return "done";
  };

  const settle = (decision: InstallDecision): Next => {
    failures = 0;
    changes = 0;
    if (decision.state === "installed") confName = decision.confName;
    enter(decision.state, decision.reason);
    return { kind: "watch", ms: Math.min(options.recheckMs, decision.recheckMs ?? options.recheckMs) };
  };

  const pass = async (signal: AbortSignal): Promise<Next> => {
    const decision = decideInstall(await observer.observe(), options.desired);
    warn(decision.warnings);
    if (decision.steps.length === 0) return settle(decision);
    if (state !== "failed") enter(decision.state, decision.reason);
    const lostFrom = findLost(decision);
    const waitMs = lostFrom === undefined ? 0 : waitBeforeRewriteMs(throttle, clock.nowMs());
    if (waitMs > 0) return { kind: "pause", ms: waitMs };
    const result = await apply(decision.steps, signal);
    if (result === "failed") return { kind: "pause", ms: retryMs(failures++) };
    failures = 0;
    if (result === "done" && lostFrom !== undefined) countRewrite(lostFrom);
    changes++;
    return { kind: "pause", ms: changes <= CHANGES_AT_ONCE ? 0 : retryMs(changes - CHANGES_AT_ONCE) };
  };

  /** No defect of ours may end the agent, which would leave the node to nobody. */
  const guardedPass = async (signal: AbortSignal): Promise<Next> => {
    try {
      return await pass(signal);
    } catch (error) {
      enter("failed", `an unexpected failure: ${fileErrorReason(error)}`);
      log.error(`Cannot check the installation: unexpected failure: ${fileErrorReason(error)}`);
      return { kind: "pause", ms: retryMs(failures++) };
    }
  };

  const rest = async (next: Next, signal: AbortSignal): Promise<void> => {
    if (next.kind === "watch") await watch.wait(next.ms, signal);
    else if (next.ms > 0) await clock.sleep(next.ms, signal).catch(() => undefined);
  };

  return {
    async run(signal) {
      metrics.installReady(false);
      try {
        await cleanLeftovers(deps, options);
        while (!signal.aborted) {
          watch.arm();
          await rest(await guardedPass(signal), signal);
        }
      } finally {
        watch[Symbol.dispose]();
        enter("stopped", "the agent ends; plugin and configuration stay in place");
      }
    },
    ready: () => ({ ready: state === "installed", reason }),
    status: () => ({ state, reason, confName, warnings, rewrites, unwatched: watch.unwatched() }),
  };
}
