/**
 * Carries out one step that core decided on. Every step is atomic: it is done wholly or not at all.
 */
import { MAX_CONFLIST_BYTES } from "../../core/cni/conflist.ts";
import type { FileAsSeen, InstallStep } from "../../core/cni/host-view.ts";
import { PLUGIN_TYPE } from "../../core/cni/plugin-entry.ts";
import { FileError } from "../../core/file-error.ts";
import { isSameBytes } from "../../core/same-bytes.ts";
import type { HostFiles } from "../../platform/fs/host-files.ts";

const PLUGIN_MODE = 0o755;

export type StepTarget = {
  readonly netDir: string;
  /** Mode of configuration files that did not exist before: 0o600, or 0o640 with CNI_CONF_GROUP_READ. */
  readonly newConfMode: number;
};

/**
 * @param pluginBytes what "copy-plugin" writes
 * @throws FileError; code "changed" when the file is not any more as it was when the step was decided
 */
export async function applyStep(
  files: HostFiles,
  target: StepTarget,
  step: InstallStep,
  pluginBytes: Uint8Array | undefined,
): Promise<void> {
  switch (step.kind) {
    case "copy-plugin":
      if (pluginBytes === undefined) throw new Error("Cannot copy the plugin: it was not read");
      return await files.write(step.dir, PLUGIN_TYPE, pluginBytes, {
        mode: PLUGIN_MODE,
        keepOf: undefined,
        expected: "any",
      });
    case "remove-plugin":
      return await files.remove(step.dir, PLUGIN_TYPE, "any");
    case "write-conf":
      await refuseUnlessGiven(files, target.netDir, step.given);
      return await files.write(target.netDir, step.name, step.bytes, {
        mode: target.newConfMode,
        keepOf: step.like ?? step.name,
        expected: step.expected ?? "absent",
      });
    case "remove-conf":
      await refuseUnlessGiven(files, target.netDir, step.given);
      return await files.remove(target.netDir, step.name, step.expected);
  }
}

/** Nothing is made of a file that its owner has changed since, nor taken away for one. */
async function refuseUnlessGiven(files: HostFiles, netDir: string, given: FileAsSeen | undefined): Promise<void> {
  if (given === undefined) return;
  const { name, bytes } = given;
  const found = await files.read(netDir, name, { maxBytes: MAX_CONFLIST_BYTES, follow: true }).catch(() => undefined);
  if (found === undefined || !isSameBytes(found.bytes, bytes)) {
    throw new FileError("changed", "go on from", name, "somebody else has changed it in the meantime");
  }
}

/** The line people search the log for (contract 8.6). */
export function describeStep(netDir: string, step: InstallStep): string {
  switch (step.kind) {
    case "copy-plugin":
      return `Copied ${PLUGIN_TYPE} to ${step.dir}`;
    case "remove-plugin":
      return `Removed ${PLUGIN_TYPE} from ${step.dir}`;
    case "write-conf":
      return `Wrote CNI config to ${netDir}/${step.name}`;
    case "remove-conf":
      return `Removed CNI config ${netDir}/${step.name}`;
  }
}
