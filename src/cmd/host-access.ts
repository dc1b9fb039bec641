// The host's folders with all that makes them the host's: labels of SELinux, and symlinks that name paths of the host.
import type { Logger } from "../core/log.ts";
import { fileCalls } from "../platform/fs/file-calls.ts";
import { createHostFiles, type HostFiles } from "../platform/fs/host-files.ts";
import { hostNamesOf } from "../platform/fs/mount-point.ts";
import { exchangeFiles } from "../platform/linux/exchange-files.ts";
import { copySecurityLabel } from "../platform/linux/security-label.ts";

/** A host that does not let us label files is told of once in `log`: a file without its label is better than none. */
export function createHostAccess(log: Logger): HostFiles {
  let isSaid = false;
  const copyLabels = (fromPath: string, toPath: string): void => {
    const outcome = copySecurityLabel(fromPath, toPath);
    if (typeof outcome === "string" || isSaid) return;
    isSaid = true;
    log.warn(
      `Cannot give new files the SELinux label of those they replace (errno ${outcome.errno}, ${fromPath}): they get their folder's`,
    );
  };
  return createHostFiles({ calls: fileCalls, copyLabels, exchange: exchangeFiles, hostNamesOf });
}
