// Which kernel modules a trial would load: asking the kernel for a feature loads the module that has it, and doctor leaves no
// trace on a node unless it is told to.

/** What is known of this kernel's modules; names with "_" as the kernel has them. */
export type ModuleFacts = {
  /** Undefined: a kernel without loadable modules. */
  readonly loaded: ReadonlySet<string> | undefined;
  /** In the kernel itself, by its list on the host's disk or by /sys/module; may be incomplete. */
  readonly builtIn: ReadonlySet<string>;
  /** Loading is shut off (kernel.modules_disabled), or the host has no modules for this kernel. */
  readonly cannotLoad: boolean;
};

/** Host probe rules need these beside those of pods' rules. */
export const HOST_PROBE_MODULES: readonly string[] = ["ip_set", "ip_set_hash_ip", "xt_set", "xt_nat"];

/** Modules of `wanted` that a trial may load; empty: a trial changes nothing. */
export function modulesToLoad(wanted: readonly string[], { loaded, builtIn, cannotLoad }: ModuleFacts): string[] {
  if (loaded === undefined || cannotLoad) return [];
  return wanted.filter((name) => !loaded.has(name) && !builtIn.has(name));
}

/** Names in /proc/modules: the first word of each line. */
export function parseLoadedModules(text: string): ReadonlySet<string> {
  return new Set(text.split("\n").flatMap((line) => (line === "" ? [] : [line.split(" ", 1)[0] ?? ""])));
}

/** Names in modules.builtin (kmod): paths such as kernel/net/netfilter/nf_tables.ko. */
export function parseBuiltInModules(text: string): ReadonlySet<string> {
  return new Set(
    text.split("\n").flatMap((line) => {
      const file = line.slice(line.lastIndexOf("/") + 1).trimEnd();
      return file.endsWith(".ko") ? [file.slice(0, -".ko".length).replaceAll("-", "_")] : [];
    }),
  );
}
