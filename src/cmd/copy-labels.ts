// Files that stand in for others keep their SELinux label; a host that does not let us is told of once.
import type { Logger } from "../core/log.ts";
import { copySecurityLabel } from "../platform/linux/security-label.ts";

/** For createHostFiles(). Never throws: a file without its label is better than none. */
export function copyLabelsOrSay(log: Logger): (fromPath: string, toPath: string) => void {
  let isSaid = false;
  return (fromPath, toPath) => {
    const outcome = copySecurityLabel(fromPath, toPath);
    if (typeof outcome === "string" || isSaid) return;
    isSaid = true;
    log.warn(
      `Cannot give new files the SELinux label of those they replace (errno ${outcome.errno}, ${fromPath}): they get their folder's`,
    );
  };
}
