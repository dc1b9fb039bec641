// What a release of the agent changes, and nothing else: launcher, plugin, the agent's modules. The uppermost layer.
import { type FileTree, TreeBuilder } from "../tree/file-tree.ts";

/** Where the launcher looks for its parts (launcher/install-cni.c). */
export const PARTS = "usr/local/lib/istio-install-cni";

const CAP = { DAC_OVERRIDE: 1n, NET_ADMIN: 12n, NET_RAW: 13n, SYS_PTRACE: 19n, SYS_ADMIN: 21n } as const;

/** What upstream's chart grants. Permitted and not effective: without them the launcher still starts and the agent says
 * what it lacks; with the effective bit the kernel would refuse the exec. Only the launcher carries them: executing a
 * file with capabilities clears the ambient ones, so iptables must not. */
const LAUNCHER_CAPABILITIES = Object.values(CAP).reduce((set, bit) => set | (1n << bit), 0n);

export interface AgentFiles {
  readonly launcher: Uint8Array;
  readonly plugin: Uint8Array;
  /** Of the agent, by name: agent.mjs and what it imports (tools/bundle.ts). */
  readonly modules: ReadonlyMap<string, Uint8Array>;
  readonly licence: Uint8Array;
  /** Of musl, which launcher and plugin are linked with. */
  readonly muslLicence: Uint8Array;
}

export function buildAgent(files: AgentFiles): FileTree {
  const tree = new TreeBuilder();
  tree.file("usr/local/bin/install-cni", files.launcher, { mode: 0o755, capabilities: LAUNCHER_CAPABILITIES });
  for (const [name, content] of files.modules) tree.file(`${PARTS}/${name}`, content);
  tree.file("opt/cni/bin/istio-cni", files.plugin, { mode: 0o755 });
  tree.file("usr/share/doc/istio-install-cni/LICENSE", files.licence);
  tree.file("usr/share/doc/istio-install-cni/LICENSE.musl", files.muslLicence);
  return tree.finish();
}
