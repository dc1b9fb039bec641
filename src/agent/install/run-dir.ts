/**
 * What lies in the run directory besides sockets: the mark of an uninstall that a running agent has to respect, and what an
 * uninstall takes away there.
 */

import { isIstioCniKubeconfig, KUBECONFIG_NAME, MAX_KUBECONFIG_BYTES } from "../../core/cni/host-kubeconfig.ts";
import { nameBehind } from "../../core/cni/temporary-name.ts";
import { fileErrorCode, fileErrorReason } from "../../core/file-error.ts";
import { STATE_FILE_NAME } from "../../core/plugin-protocol/state-file.ts";
import { podUidOfFile } from "../../core/pod-record/pod-record.ts";
import {
  ADMIN_SOCKET,
  PLUGIN_SOCKET,
  RECORDS_FOLDER,
  UNINSTALLED_MARK,
  UPSTREAM_EVENT_SOCKET,
  UPSTREAM_LOG_SOCKET,
} from "../../core/run-dir-names.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import type { Leftover } from "./remove-from-host.ts";

const SOCKETS = [PLUGIN_SOCKET, ADMIN_SOCKET, UPSTREAM_EVENT_SOCKET, UPSTREAM_LOG_SOCKET];
const OURS = [STATE_FILE_NAME, UNINSTALLED_MARK, ...SOCKETS];
/** What they are called while they are made (platform/linux/unix-socket.ts). */
const NEW_SOCKET = /^\.(plug|admi|log\.)[0-9a-z]{1,6}$/;
/** What a record is called while it is written (platform/fs/private-folder.ts). */
const NEW_RECORD = /^\.new-[0-9a-f]{12}$/;

/** @throws {FileError} */
export async function markUninstalled(files: HostFiles, runDir: string): Promise<void> {
  const text = "install-cni uninstall was run; the agent puts nothing back until it is started anew\n";
  const bytes = new TextEncoder().encode(text);
  await files.write(runDir, UNINSTALLED_MARK, bytes, { mode: 0o600, keepOf: undefined, expected: "any" });
}

/** False also when it cannot be told: only a mark that is seen stops an agent. */
export async function isMarkedUninstalled(files: HostFiles, runDir: string): Promise<boolean> {
  return await files.read(runDir, UNINSTALLED_MARK, { maxBytes: 4096, follow: false }).then(
    () => true,
    () => false,
  );
}

/** Removes what is known to be ours or upstream's; whatever else lies there stays. Never rejects. */
export async function removeRunFiles(
  files: HostFiles,
  runDir: string,
): Promise<{ readonly done: readonly string[]; readonly failed: readonly Leftover[] }> {
  const done: string[] = [];
  const failed: Leftover[] = [];
  const remove = async (folder: string, name: string): Promise<void> => {
    try {
      await files.remove(folder, name, "any");
      done.push(`Removed ${folder}/${name}`);
    } catch (error) {
      failed.push({ path: `${folder}/${name}`, reason: fileErrorReason(error) });
    }
  };
  const names = await listOrNone(files, runDir);
  for (const name of names) {
    const isKubeconfig = name === KUBECONFIG_NAME && (await isIstioCniFile(files, runDir, name));
    if (isKubeconfig || OURS.includes(name) || nameBehind(name) !== undefined || NEW_SOCKET.test(name)) {
      await remove(runDir, name);
    }
  }
  const records = `${runDir}/${RECORDS_FOLDER}`;
  const recordNames = (await listOrNone(files, records)).filter(isRecord);
  for (const name of recordNames) await files.remove(records, name, "any").catch(() => undefined);
  if (recordNames.length > 0) done.push(`Removed ${recordNames.length} files from ${records}`);
  await files.removeEmptyFolder(records).catch(() => undefined);
  return { done, failed };
}

/** Removes a kubeconfig, if it is one of istio-cni. True when it was there and is gone. @throws {FileError} */
export async function removeKubeconfig(files: HostFiles, folder: string, name: string): Promise<boolean> {
  if (!(await isIstioCniFile(files, folder, name))) return false;
  await files.remove(folder, name, "any");
  return true;
}

async function isIstioCniFile(files: HostFiles, folder: string, name: string): Promise<boolean> {
  try {
    const { bytes } = await files.read(folder, name, { maxBytes: MAX_KUBECONFIG_BYTES, follow: false });
    return isIstioCniKubeconfig(bytes);
  } catch (error) {
    if (fileErrorCode(error) === undefined) throw error;
    return false;
  }
}

async function listOrNone(files: HostFiles, folder: string): Promise<readonly string[]> {
  return await files.list(folder).catch(() => []);
}

function isRecord(name: string): boolean {
  return podUidOfFile(name) !== undefined || NEW_RECORD.test(name);
}
