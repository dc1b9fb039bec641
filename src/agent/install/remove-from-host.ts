/**
 * Takes everything of ours off the host again. Only on a proven wish: the uninstall command calls this, the end of the
 * agent does not (contract 10.2 D8).
 */

import { decideRemoval } from "../../core/cni/decide-removal.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { applyStep, describeStep } from "./apply-step.ts";
import { cleanLeftovers } from "./clean-leftovers.ts";
import { fileErrorCode } from "./file-failure.ts";
import { createHostObserver, type HostFolders } from "./observe-host.ts";

const MAX_ATTEMPTS = 10;

/**
 * Puts every conflist back to the bytes it had without us, then removes the plugin. Stops at the first failure, so
 * that no conflist is left naming a missing plugin; may be called again. Starts over when another writer interferes.
 * @throws FileError; Error while the CNI folder cannot be read; the signal's reason
 */
export async function removeFromHost(
  deps: { readonly files: HostFiles; readonly clock: Clock; readonly log: Logger },
  options: HostFolders & { readonly ownedName: string },
  signal: AbortSignal,
): Promise<void> {
  const observer = createHostObserver(deps, options);
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    const view = await observer.observe();
    if ("unavailable" in view.netDir) throw new Error(`Cannot remove the plugin: ${view.netDir.unavailable}`);
    const steps = decideRemoval(view, options);
    try {
      for (const step of steps) {
        await applyStep(deps.files, { netDir: view.netDir.path, newConfMode: 0o600 }, step, undefined);
        deps.log.info(describeStep(view.netDir.path, step));
      }
      return await cleanLeftovers(deps, options);
    } catch (error) {
      if (fileErrorCode(error) !== "changed" || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}
