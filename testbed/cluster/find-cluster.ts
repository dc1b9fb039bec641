// Which cluster the cluster tier runs in, or what is missing. Looks only; create-cluster.ts acts on it.
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { REPOSITORY } from "../node/repository.ts";

/** A cluster that was named by KUBECONFIG, the shared lab, or why there is neither. */
export type ClusterSource =
  | {
      readonly kind: "given";
      readonly kubeconfig: string;
      /** Command that gets an image archive's path appended and brings the image to every node. */
      readonly loadImage: readonly string[];
    }
  | { readonly kind: "lab"; readonly folder: string }
  | { readonly kind: "none"; readonly reason: string };

/** Decides in this order: KUBECONFIG, SHARED_LAB, `../shared/lab` beside the checkout. `reason` is a sentence that says
 * what is missing and how to provide it. */
export function findCluster(env: Readonly<Record<string, string | undefined>> = process.env): ClusterSource {
  const { KUBECONFIG: kubeconfig = "", SHARED_LAB: named = "", CLUSTER_LOAD_IMAGE: loadImage = "" } = env;
  if (kubeconfig !== "") return findGiven(kubeconfig, loadImage, env["PATH"] ?? "");
  const folder = resolve(named === "" ? join(REPOSITORY, "../shared/lab") : named);
  if (existsSync(join(folder, "setup")) && existsSync(join(folder, "lab"))) return { kind: "lab", folder };
  const variable = named === "" ? "SHARED_LAB is not set" : "SHARED_LAB names that folder";
  return none(
    `${folder} is not the shared lab (it has no "setup" and "lab"; ${variable}) and KUBECONFIG is not set. ` +
      "Provide the lab's folder by SHARED_LAB, or a cluster without Istio by KUBECONFIG and CLUSTER_LOAD_IMAGE " +
      "(see testbed/cluster/README.md)",
  );
}

function findGiven(kubeconfig: string, loadImage: string, path: string): ClusterSource {
  if (!existsSync(kubeconfig)) return none(`KUBECONFIG names ${kubeconfig}, which does not exist`);
  if (!path.split(delimiter).some((folder) => existsSync(join(folder, "kubectl"))))
    return none("KUBECONFIG is set, but there is no kubectl on the PATH");
  const words = loadImage.split(" ").filter((word) => word !== "");
  if (words.length === 0)
    return none(
      "KUBECONFIG is set, but CLUSTER_LOAD_IMAGE is not: a command that brings an image archive to every node " +
        'and gets its path appended, for instance "kind load image-archive"',
    );
  return { kind: "given", kubeconfig: resolve(kubeconfig), loadImage: words };
}

function none(state: string): ClusterSource {
  return { kind: "none", reason: `Cannot run the cluster tier: ${state}` };
}
