/**
 * What lies in the run directory besides sockets: the mark of an uninstall that a running agent has to respect, and what an
 * uninstall takes away there.
 */
import { isIstioCniKubeconfig, KUBECONFIG_NAME, MAX_KUBECONFIG_BYTES } from "../../core/cni/host-kubeconfig.ts";
import { STATE_FILE_NAME } from "../../core/plugin-protocol/state-file.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";
import { fileErrorCode, fileErrorReason } from "./file-failure.ts";
import type { Leftover } from "./remove-from-host.ts";

/** While it is there an agent that runs puts nothing back; the next one to start removes it. */
export const UNINSTALLED_MARK = "uninstalled";
/** One file per pod (ADR 10). */
const RECORDS_FOLDER = "pods";
const OURS = [STATE_FILE_NAME, "plugin.sock", "admin.sock", UNINSTALLED_MARK];
/** Sockets of upstream's agent, which we serve in its place. */
const UPSTREAMS = ["pluginevent.sock", "log.sock"];
const TEMPORARY = /\.istio-cni-tmp\.[0-9a-f]{12}$|^\.(plug|admi|log\.)[0-9a-z]{1,6}$/;
const RECORD = /^[0-9a-zA-Z-]{1,64}\.json$|^\.new-[0-9a-f]{12}$/;

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
    if (isKubeconfig || OURS.includes(name) || UPSTREAMS.includes(name) || TEMPORARY.test(name)) {
      await remove(runDir, name);
    }
  }
  const records = `${runDir}/${RECORDS_FOLDER}`;
  const recordNames = (await listOrNone(files, records)).filter((name) => RECORD.test(name));
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
