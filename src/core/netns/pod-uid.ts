// Pod UIDs as they are compared here: the API writes them with dashes, systemd slices with underscores, static pods'
// cgroups carry a hash without either.
import type { Pod } from "../kube/pod.ts";

/** The kubelet's own UID of a static pod, on the mirror pod that the API has (kubernetes/pkg/kubelet/types@1.34). Its
 * cgroup and its CNI arguments carry this one, `metadata.uid` is another. */
const STATIC_POD_UID = "kubernetes.io/config.hash";

/** The form in which UIDs are compared: lower case, nothing but letters and digits. */
export function podUidKey(uid: string): string {
  return uid.replace(/[^0-9A-Za-z]/g, "").toLowerCase();
}

/** Every key that this pod's cgroups, and the runtime's calls for it, may carry; the API's own first. */
export function podUidKeys(pod: Pick<Pod, "uid" | "annotations">): readonly string[] {
  const known = keysOf.get(pod);
  if (known !== undefined) return known;
  const hash = pod.annotations[STATIC_POD_UID];
  const keys = [pod.uid, ...(hash === undefined ? [] : [hash])].map(podUidKey).filter((key) => key !== "");
  keysOf.set(pod, keys);
  return keys;
}

/** Pods are immutable, and asked about again and again. */
const keysOf = new WeakMap<Pick<Pod, "uid" | "annotations">, readonly string[]>();
