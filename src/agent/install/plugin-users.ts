/**
 * Who would still call the plugin after no conflist names it: runtimes that end a sandbox by the chain it was made with, which
 * they keep (CRI-O: ocicni TearDownPodWithContext; Multus: its own cache of delegates). Without the plugin such pods would
 * stay Terminating. containerd uses the chain of the moment (go-cni Remove) and needs nothing.
 */
import { parseConf } from "../../core/cni/conflist.ts";
import type { HostView } from "../../core/cni/host-view.ts";
import { PLUGIN_TYPE } from "../../core/cni/plugin-entry.ts";
import { fileErrorCode } from "../../core/file-error.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";

/** Where libcni and Multus keep what they made a sandbox with, on the host. */
const CACHES = ["/var/lib/cni/results", "/var/lib/cni/multus"] as const;
const MAX_ENTRY_BYTES = 1 << 20;
const REMEMBERING_RUNTIMES = ["crio"] as const;

export type PluginUsersDeps = {
  readonly files: HostFiles;
  /** Names of the processes of the host; undefined: they cannot be seen. */
  readonly processNames: () => Promise<ReadonlySet<string> | undefined>;
};

/**
 * A reason to keep the plugin, or undefined. Where it cannot be told whether somebody needs it, it stays.
 * @param hostRoot the host's file system as seen from here, "" for our own
 */
export async function findPluginUsers(
  { files, processNames }: PluginUsersDeps,
  view: HostView,
  hostRoot: string,
): Promise<string | undefined> {
  const names = await processNames();
  const runtime =
    names === undefined
      ? "a runtime that cannot be seen from here"
      : REMEMBERING_RUNTIMES.find((name) => names.has(name));
  const who = hasMultus(view) ? "Multus" : runtime;
  if (who === undefined) return undefined;
  let sandboxes = 0;
  for (const cache of CACHES) {
    const count = await countEntries(files, hostRoot, cache);
    if (count === undefined) {
      return `${who} may call it for sandboxes that were made with it, and ${cache} on the host cannot be read from here`;
    }
    sandboxes += count;
  }
  return sandboxes === 0 ? undefined : `${who} calls it at the end of ${sandboxes} sandboxes that were made with it`;
}

function hasMultus({ netDir }: HostView): boolean {
  if ("unavailable" in netDir) return false;
  return netDir.files.some(({ name, content }) => {
    if (!("bytes" in content)) return false;
    const conf = parseConf(name, content.bytes);
    if (conf.kind === "invalid") return false;
    const plugins = conf.kind === "list" ? conf.plugins : [conf.plugin];
    return plugins.some(({ type }) => type.startsWith("multus"));
  });
}

/** How many sandboxes are remembered with us in their chain; undefined: it cannot be seen. */
async function countEntries(files: HostFiles, hostRoot: string, cache: string): Promise<number | undefined> {
  try {
    // A host that cannot be seen would look as empty as one without a cache.
    await files.list(hostRoot === "" ? "/" : hostRoot);
  } catch {
    return undefined;
  }
  const folder = `${hostRoot}${cache}`;
  try {
    const named = await Promise.all((await files.list(folder)).map((name) => isWithUs(files, folder, name)));
    return named.filter(Boolean).length;
  } catch (error) {
    return fileErrorCode(error) === "not-found" ? 0 : undefined;
  }
}

async function isWithUs(files: HostFiles, folder: string, name: string): Promise<boolean> {
  try {
    const { bytes } = await files.read(folder, name, { maxBytes: MAX_ENTRY_BYTES, follow: false });
    const text = new TextDecoder().decode(bytes);
    return text.includes(`"${PLUGIN_TYPE}"`) || decodedConfig(text).includes(`"${PLUGIN_TYPE}"`);
  } catch (error) {
    // Gone meanwhile: its sandbox has ended.
    return fileErrorCode(error) !== "not-found";
  }
}

/** libcni's entries (kind cniCacheV1) hold the chain in base64. */
function decodedConfig(text: string): string {
  try {
    const entry: unknown = JSON.parse(text);
    const hasConfig = typeof entry === "object" && entry !== null && "config" in entry;
    return hasConfig && typeof entry.config === "string" ? atob(entry.config) : "";
  } catch {
    return "";
  }
}
