// Runtimes whose pods do not use the network stack of the namespace their sandbox lies in: rules written there would
// stand and catch nothing. Kata moves the packets into a virtual machine by tc, gVisor reads them from an AF_PACKET
// socket (gvisor.dev/docs/architecture_guide/networking).

export type SandboxRuntime = "kata" | "gvisor";

const PROGRAMS: readonly (readonly [RegExp, SandboxRuntime])[] = [
  [/^(?:runsc|runsc-(?:sandbox|gofer))$/, "gvisor"],
  [
    /^(?:qemu-system-.*|qemu-kvm|cloud-hyperviso.*|firecracker|jailer|stratovirt|virtiofsd|containerd-shim-kata.*)$/,
    "kata",
  ],
];

/** By the name of a program. Names are chosen by whoever runs them (KubeVirt runs qemu inside ordinary pods), so this is a
 * hint, to be used where nothing speaks against it. */
export function sandboxOfProgram(program: {
  readonly comm: string;
  readonly exe: string | undefined;
}): SandboxRuntime | undefined {
  const names = [program.comm, program.exe?.replace(/ \(deleted\)$/, "").replace(/^.*\//, "")];
  for (const [pattern, runtime] of PROGRAMS) {
    if (names.some((name) => name !== undefined && pattern.test(name))) return runtime;
  }
  return undefined;
}

/** By `spec.runtimeClassName`, which everybody names as they like: a hint as well. */
export function sandboxOfRuntimeClass(runtimeClassName: string | undefined): SandboxRuntime | undefined {
  if (runtimeClassName === undefined) return undefined;
  if (/gvisor|runsc/i.test(runtimeClassName)) return "gvisor";
  return /kata|firecracker/i.test(runtimeClassName) ? "kata" : undefined;
}
