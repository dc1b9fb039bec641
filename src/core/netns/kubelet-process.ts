// Which process of a node is its kubelet, and as whom it runs: the native rule for probes names that user (contract 7.8).
// Not here: reading /proc.

/** What /proc tells of one process. */
export type ProcessFacts = {
  readonly pid: number;
  /** At most 15 bytes, as in stat. */
  readonly comm: string;
  readonly cmdline: readonly string[];
  /** Real user id; undefined: it was not to be seen. */
  readonly realUid: number | undefined;
};

/** The user probes come from. `isFound` false: nobody looks like a kubelet, and uid 0 is taken, whose it nearly always is. */
export type KubeletUser =
  | { readonly isFound: true; readonly uid: number; readonly pid: number; readonly message: string }
  | { readonly isFound: false; readonly uid: 0; readonly message: string };

/**
 * Names of processes that are a kubelet, or may have one in them and then say so in an argument: MicroK8s, OpenShift before 4;
 * k3s and RKE2 say nothing (istio cni/pkg/nftables/kubeletuid_linux.go@master, and k3s's own names of its processes).
 */
const NAMES: ReadonlyMap<string, { readonly isNamedInArguments: boolean }> = new Map([
  ["kubelet", { isNamedInArguments: true }],
  ["kubelite", { isNamedInArguments: true }],
  ["hyperkube", { isNamedInArguments: true }],
  ["k3s", { isNamedInArguments: false }],
  ["k3s-server", { isNamedInArguments: false }],
  ["k3s-agent", { isNamedInArguments: false }],
]);

/** Whether a process of this name may be a kubelet: then its arguments are worth reading. */
export function mayBeKubelet(comm: string): boolean {
  return NAMES.has(comm);
}

/**
 * Of the processes in the node's own network namespace (a pod may name its process as it likes, in its own). Root goes before
 * others, then the lowest pid: who is root on the node need not pretend.
 */
export function chooseKubeletUser(processes: readonly ProcessFacts[]): KubeletUser {
  const kubelets = processes
    .filter(({ comm, cmdline, realUid }) => {
      const named = NAMES.get(comm);
      if (named === undefined || realUid === undefined) return false;
      return !named.isNamedInArguments || cmdline.some((argument) => argument.toLowerCase().includes("kubelet"));
    })
    .toSorted((left, right) => Number(left.realUid !== 0) - Number(right.realUid !== 0) || left.pid - right.pid);
  const [first] = kubelets;
  if (first?.realUid === undefined) {
    const message = "No process of this node looks like its kubelet; probes are taken to come from processes of uid 0";
    return { isFound: false, uid: 0, message };
  }
  const message = `Probes are taken to come from uid ${first.realUid}, that of ${first.comm} (pid ${first.pid})`;
  return { isFound: true, uid: first.realUid, pid: first.pid, message };
}

/** The real user id in /proc/PID/status; undefined where there is none. */
export function parseRealUid(status: string): number | undefined {
  const uid = /^Uid:\t(\d{1,10})\t/m.exec(status)?.[1];
  return uid === undefined ? undefined : Number(uid);
}

/** The arguments in /proc/PID/cmdline. */
export function parseCmdline(text: string): string[] {
  return text.split("\0").filter((argument) => argument !== "");
}
