/**
 * What the installer tells others about itself: readiness, status and metrics.
 */
import type { FightNotice } from "../../core/cni/conflist-life.ts";

/**
 * starting: has not looked yet. installed: seen to be right. changing: being put right. waiting: for another party, as a
 * primary CNI. blocked: a person must act. failed: a change did not succeed and is tried again. removed: by
 * `install-cni uninstall` while the agent runs. stopped: by its signal.
 */
export type InstallState =
  | "starting"
  | "installed"
  | "changing"
  | "waiting"
  | "blocked"
  | "failed"
  | "removed"
  | "stopped";

export type InstallStatus = {
  readonly state: InstallState;
  /** One sentence without a full stop. */
  readonly reason: string;
  /** The file the runtime finds our plugin in, as of the last look that found it right. */
  readonly confName: string | undefined;
  readonly warnings: readonly string[];
  /** How often our entry was taken out by another writer and put back, since the start. */
  readonly rewrites: number;
  /** Another writer keeps at it, or the file was left to it; undefined: nobody does. */
  readonly fight: FightNotice | undefined;
  /** Folders whose changes are seen by looking only, with the reason. */
  readonly unwatched: ReadonlyMap<string, string>;
};

/** Values of the label `result` of istio_cni_installs_total (contract 8.1). */
export type InstallResult = "SUCCESS" | "COPY_BINARIES_FAILURE" | "CREATE_CNI_CONFIG_FAILURE";

/** What is counted; wired to the registry by cmd. */
export interface InstallMetrics {
  /** istio_cni_install_ready; told again whenever the reason changes. */
  installReady(isReady: boolean): void;
  /** istio_cni_installs_total: SUCCESS when the host was put or found right, failures once per failed pass. */
  installFinished(result: InstallResult): void;
  /** Our entry was put back after another writer had taken it out. */
  conflistReasserted(): void;
  /** Another writer keeps taking our entry out; told again when that ends. */
  conflistFought(isFighting: boolean): void;
}
