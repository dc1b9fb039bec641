// Pod UIDs as they are compared here: the API writes them with dashes, systemd slices with underscores, static pods'
// cgroups carry a hash without either. So no hash is ever taken for the UID of a pod that the API made.
import type { Pod } from "../kube/pod.ts";

/** The kubelet's own UID of a static pod, on the mirror pod that the API has (kubernetes/pkg/kubelet/types@1.34). Its
 * cgroup and its CNI arguments carry this one, `metadata.uid` is another. */
const STATIC_POD_UID = "kubernetes.io/config.hash";
/** Has the same value. The API server lets nobody add it later, and no kubelet runs a pod that has it: the mirror alone is
 * believed, since anybody may write the other one and name somebody else's pod. */
const MIRROR = "kubernetes.io/config.mirror";
/** An MD5 sum (kubernetes/pkg/kubelet/config/common.go@1.34). */
const HASH = /^[0-9a-f]{32}$/;

/** The form in which UIDs are compared: lower case, nothing but letters, digits and dashes. */
export function podUidKey(uid: string): string {
  return uid
    .replaceAll("_", "-")
    .replace(/[^-0-9A-Za-z]/g, "")
    .toLowerCase();
}

/** Every key that this pod's cgroups, and the runtime's calls for it, may carry; the API's own first. */
export function podUidKeys(pod: Pick<Pod, "uid" | "annotations">): readonly string[] {
  const known = keysOf.get(pod);
  if (known !== undefined) return known;
  const hash = pod.annotations[STATIC_POD_UID];
  const isMirror = hash !== undefined && HASH.test(hash) && pod.annotations[MIRROR] === hash;
  const keys = [pod.uid, ...(isMirror ? [hash] : [])].map(podUidKey).filter((key) => key !== "");
  keysOf.set(pod, keys);
  return keys;
}

/** Pods are immutable, and asked about again and again. */
const keysOf = new WeakMap<Pick<Pod, "uid" | "annotations">, readonly string[]>();
