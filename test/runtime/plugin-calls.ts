// What both suites that call the installed plugin by hand read of its answers and of the host.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CommandResult } from "../../testbed/node/command.ts";

/** Where upstream keeps plugin, conflist and kubeconfig, and where we keep what the plugin needs. */
export const HOST_FOLDERS = ["/opt/cni/bin", "/etc/cni/net.d", "/run/istio-cni"];

/** The CNI error of a call that was refused. */
export function errorOf({ status, stdout }: CommandResult): { readonly code: number; readonly msg: string } {
  assert.equal(status, 1, stdout);
  const error: { code: number; msg: string } = JSON.parse(stdout);
  return error;
}

/** Contents of the files that lie in the folder itself. */
export function readFiles(folder: string): string[] {
  const paths = readdirSync(folder).map((name) => join(folder, name));
  return paths.filter((path) => statSync(path).isFile()).map((path) => readFileSync(path, "latin1"));
}
