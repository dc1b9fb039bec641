/**
 * Removes temporary files that an installer left behind when it was killed in the middle of a write: ours, and those of
 * upstream's installer (`istio-cni.tmp.*`, contract 3.1).
 */

import { nameBehind } from "../../core/cni/temporary-name.ts";
import { fileErrorReason } from "../../core/file-error.ts";
import type { Logger } from "../../core/log.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import type { HostFolders } from "./observe-host.ts";

const UPSTREAMS = /^istio-cni\.tmp\./;

/** Never rejects: a leftover does no harm, so one that stays is worth a line in the log only. */
export async function cleanLeftovers(
  deps: { readonly files: HostFiles; readonly log: Logger },
  folders: HostFolders,
): Promise<void> {
  for (const folder of new Set([folders.netDir, ...folders.binDirs].flat())) {
    const names = await deps.files.list(folder).catch(() => []);
    for (const name of names.filter((candidate) => nameBehind(candidate) !== undefined || UPSTREAMS.test(candidate))) {
      try {
        await deps.files.remove(folder, name, "any");
      } catch (error) {
        deps.log.debug(`Cannot remove the leftover ${folder}/${name}: ${fileErrorReason(error)}`);
      }
    }
  }
}
