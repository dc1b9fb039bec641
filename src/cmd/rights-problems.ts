// What a DaemonSet written by hand has forgotten to grant: said in the log at start, and as long as the agent is not ready.
import { missingCapabilities } from "../core/policy/needed-capabilities.ts";
import { readProcessText } from "../platform/fs/process-text.ts";

/** One sentence without a full stop, or none.
 * @param status of /proc/self/status; undefined where it cannot be read. */
export function findRightsProblems(status = readProcessText("/proc", process.pid, "status")): readonly string[] {
  const missing = missingCapabilities(status ?? "") ?? [];
  if (missing.length === 0) return [];
  const list = missing.map(({ name, use }) => `${name} (${use})`).join(", ");
  return [
    `Missing capabilities: ${list}; the DaemonSet has to grant them (securityContext.capabilities.add, or privileged: true), as upstream's chart does`,
  ];
}
