// Upstream's executables beside ours, where paths to them are given. Responsible for what they need around them: a
// kubeconfig (contract/ 3.4), a folder that the agent's container can see. Optional.
import { copyFileSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { meterPath } from "./meter.ts";

/** Upstream's executables, in a folder of the node. */
export interface Upstream {
  /** Set when UPSTREAM_ISTIO_CNI is. */
  readonly plugin: string | undefined;
  /** Set when both variables are: the agent installs the plugin. */
  readonly agent: { readonly meter: string; readonly installCni: string } | undefined;
  /** The run directory that its plugin reads the kubeconfig from. */
  readonly runDir: string;
}

/** Copies what the two variables name into `folder`; undefined when none is set.
 * @throws {Error} when a variable does not name a file. */
export function adoptUpstream(env: Readonly<Record<string, string | undefined>>, folder: string): Upstream | undefined {
  const plugin = fileNamedBy(env, "UPSTREAM_ISTIO_CNI");
  const installCni = fileNamedBy(env, "UPSTREAM_INSTALL_CNI");
  if (plugin === undefined && installCni === undefined) return undefined;
  if (plugin === undefined)
    throw new Error("Cannot measure upstream's agent: UPSTREAM_INSTALL_CNI is set, UPSTREAM_ISTIO_CNI is not");
  const runDir = join(folder, "run");
  mkdirSync(runDir, { recursive: true });
  const adopt = (source: string, name: string): string => {
    const target = join(folder, name);
    copyFileSync(source, target);
    return target;
  };
  return {
    plugin: adopt(plugin, "istio-cni"),
    agent:
      installCni === undefined
        ? undefined
        : { meter: adopt(meterPath(), "meter"), installCni: adopt(installCni, "install-cni") },
    runDir,
  };
}

/** Gives its plugin the kubeconfig that its agent would have written. */
export function writeUpstreamKubeconfig(upstream: Upstream, kubeconfig: string): void {
  writeFileSync(join(upstream.runDir, "istio-cni-kubeconfig"), kubeconfig, { mode: 0o600 });
}

function fileNamedBy(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const path = env[name];
  if (path === undefined || path === "") return undefined;
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new Error(`Cannot measure upstream: ${name} is ${path}, which is no file`);
  return path;
}
