// Where the agent's own files lie: in a checkout's out/, or in the image; and its socket for people.
import { join } from "node:path";
import { ADMIN_SOCKET } from "../core/run-dir-names.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";

/** Where the image keeps the plugin that is copied to hosts (DESIGN 2.1; upstream const.go:95@1.30.3). */
const IMAGE_PLUGIN_DIR = "/opt/cni/bin";

/** The folder that holds the plugin to be installed: beside the launcher in out/bin, else the image's. The bundle lies in
 * lib/istio-install-cni beside that bin/. */
export function findPluginDir(): string {
  const beside = join(import.meta.dirname, "../../bin");
  return firstExisting([join(beside, "istio-cni")]) === undefined ? IMAGE_PLUGIN_DIR : beside;
}

/** Where the agent answers `install-cni status`; shorter than the plugin's own, so it fits wherever that does. */
export function adminSocketPath(runDir: string): string {
  return join(runDir, ADMIN_SOCKET);
}

/** The host's processes and its root, as seen from here: in a container with the chart's mounts, or on the host itself. */
export function hostPlaces(): { readonly proc: string; readonly root: string; readonly rootByProc: string } {
  return firstExisting(["/host"]) === undefined
    ? { proc: "/proc", root: "/", rootByProc: "" }
    : { proc: "/host/proc", root: "/host", rootByProc: "/host/proc/1/root" };
}
