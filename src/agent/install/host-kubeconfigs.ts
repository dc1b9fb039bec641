/**
 * The kubeconfigs on the host: writes the one of HOST_KUBECONFIG and keeps it as fresh as the agent's own token; removes those
 * that an upstream before us has left, once it is proven that nobody uses them: tokens must not lie about.
 */
import { isConfFileName, MAX_CONFLIST_BYTES } from "../../core/cni/conflist.ts";
import { isIstioCniKubeconfig, KUBECONFIG_NAME, MAX_KUBECONFIG_BYTES } from "../../core/cni/host-kubeconfig.ts";
import { messageOf } from "../../core/error-message.ts";
import { fileErrorReason } from "../../core/file-error.ts";
import type { Logger } from "../../core/log.ts";
import { isSameBytes } from "../../core/same-bytes.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { removeKubeconfig } from "./run-dir.ts";

/** An execution of upstream's plugin reads its kubeconfig when it starts; none that was started before lives longer unread. */
const OURS_FOR_MS = 60_000;

export type HostKubeconfigsDeps = {
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly log: Logger;
  /** The text the file should have now; rejects while token or CA cannot be read. Undefined: none is wanted. */
  readonly render: (() => Promise<string>) | undefined;
  /** Whether plugin and conflist on the host are ours, as of the last look. */
  readonly isInstalled: () => boolean;
  /** The file could not be written; once per state of things. */
  readonly failed: () => void;
};

export type HostKubeconfigsOptions = {
  readonly runDir: string;
  readonly mode: number;
  /** Folders in which Istio before 1.24 kept it, under this name. */
  readonly netDirs: readonly string[];
  readonly legacyName: string;
  readonly recheckMs: number;
};

/** Works until the signal aborts, then resolves; never rejects. The file stays at the end, as everything does. */
export async function runHostKubeconfigs(
  deps: HostKubeconfigsDeps,
  options: HostKubeconfigsOptions,
  signal: AbortSignal,
): Promise<void> {
  const { files, clock, log } = deps;
  let complaint: string | undefined;
  let oursSinceMs: number | undefined;

  const write = async (render: () => Promise<string>): Promise<void> => {
    let isRendered = false;
    try {
      const bytes = new TextEncoder().encode(await render());
      isRendered = true;
      if (!(await holds(files, options, bytes))) {
        const like = { mode: options.mode, keepOf: undefined, expected: "any" } as const;
        await files.write(options.runDir, KUBECONFIG_NAME, bytes, like);
        log.info(`Wrote kubeconfig file ${options.runDir}/${KUBECONFIG_NAME}`);
      }
      complaint = undefined;
    } catch (error) {
      // What is missing before is another file, which the message names.
      const reason = isRendered ? fileErrorReason(error) : messageOf(error);
      if (reason === complaint) return;
      complaint = reason;
      deps.failed();
      log.error(`Cannot write ${options.runDir}/${KUBECONFIG_NAME}: ${reason}`);
    }
  };

  const removeStale = async (): Promise<void> => {
    const stale = options.netDirs.map((folder) => [folder, options.legacyName] as const);
    if (deps.render === undefined) stale.push([options.runDir, KUBECONFIG_NAME]);
    for (const [folder, name] of stale) {
      try {
        if (await isNamed(files, options.netDirs, name)) continue;
        if (await removeKubeconfig(files, folder, name)) {
          log.info(`Removed ${folder}/${name}: a token that nobody uses any more`);
        }
      } catch (error) {
        log.debug(`Cannot remove ${folder}/${name}: ${fileErrorReason(error)}`);
      }
    }
  };

  while (!signal.aborted) {
    if (deps.render !== undefined) await write(deps.render);
    const nowMs = clock.nowMs();
    oursSinceMs = deps.isInstalled() ? (oursSinceMs ?? nowMs) : undefined;
    if (oursSinceMs !== undefined && nowMs - oursSinceMs >= OURS_FOR_MS) await removeStale();
    await clock.sleep(options.recheckMs, signal).catch(() => undefined);
  }
}

/** Whether the file is there with this content and mode, and one of ours at all. */
async function holds(files: HostFiles, { runDir, mode }: HostKubeconfigsOptions, wanted: Uint8Array): Promise<boolean> {
  try {
    const found = await files.read(runDir, KUBECONFIG_NAME, { maxBytes: MAX_KUBECONFIG_BYTES, follow: false });
    return (
      isSameBytes(found.bytes, wanted) && (found.mode & 0o777) === (mode & 0o777) && isIstioCniKubeconfig(found.bytes)
    );
  } catch {
    return false;
  }
}

/** Whether a configuration of whomever has the file's name in it, or cannot be read to tell. */
async function isNamed(files: HostFiles, netDirs: readonly string[], name: string): Promise<boolean> {
  for (const folder of netDirs) {
    const confs = (await files.list(folder).catch(() => [])).filter(isConfFileName);
    for (const conf of confs) {
      try {
        const { bytes } = await files.read(folder, conf, { maxBytes: MAX_CONFLIST_BYTES, follow: true });
        if (new TextDecoder().decode(bytes).includes(name)) return true;
      } catch {
        return true;
      }
    }
  }
  return false;
}
