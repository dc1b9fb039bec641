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
  /** `folder` has a `setup` that makes the lab, in minutes at first where it has to build it. */
  | { readonly kind: "lab"; readonly folder: string }
  | { readonly kind: "none"; readonly reason: string };

/** Makes a lab as the shared one from the Go module proxy. */
export const OWN_LAB = join(import.meta.dirname, "kubernetes");

/** Decides in this order: KUBECONFIG, SHARED_LAB, BUILD_CLUSTER=1 (our own), `../shared/lab` beside the checkout,
 * REQUIRE_CLUSTER=1 (our own). `reason` is a sentence that says what is missing and how to provide it. */
export function findCluster(env: Readonly<Record<string, string | undefined>> = process.env): ClusterSource {
  const { KUBECONFIG: kubeconfig = "", SHARED_LAB: named = "", CLUSTER_LOAD_IMAGE: loadImage = "" } = env;
  if (kubeconfig !== "") return findGiven(kubeconfig, loadImage, env["PATH"] ?? "");
  if (named === "" && env["BUILD_CLUSTER"] === "1") return findOwn(env["PATH"] ?? "");
  const folder = resolve(named === "" ? join(REPOSITORY, "../shared/lab") : named);
  if (existsSync(join(folder, "setup")) && existsSync(join(folder, "lab"))) return { kind: "lab", folder };
  if (named === "" && env["REQUIRE_CLUSTER"] === "1") return findOwn(env["PATH"] ?? "");
  const variable = named === "" ? "SHARED_LAB is not set" : "SHARED_LAB names that folder";
  return none(
    `${folder} is not the shared lab (it has no "setup" and "lab"; ${variable}) and KUBECONFIG is not set. ` +
      "Provide the lab's folder by SHARED_LAB, or a cluster without Istio by KUBECONFIG and CLUSTER_LOAD_IMAGE, or have " +
      "one built by BUILD_CLUSTER=1, which takes Go and a quarter of an hour, once (see testbed/cluster/README.md)",
  );
}

function findGiven(kubeconfig: string, loadImage: string, path: string): ClusterSource {
  if (!existsSync(kubeconfig)) return none(`KUBECONFIG names ${kubeconfig}, which does not exist`);
  if (!isOnPath("kubectl", path)) return none("KUBECONFIG is set, but there is no kubectl on the PATH");
  const words = loadImage.split(" ").filter((word) => word !== "");
  if (words.length === 0)
    return none(
      "KUBECONFIG is set, but CLUSTER_LOAD_IMAGE is not: a command that brings an image archive to every node " +
        'and gets its path appended, for instance "kind load image-archive"',
    );
  return { kind: "given", kubeconfig: resolve(kubeconfig), loadImage: words };
}

function findOwn(path: string): ClusterSource {
  if (isOnPath("go", path)) return { kind: "lab", folder: OWN_LAB };
  return none("neither KUBECONFIG nor SHARED_LAB is set, and to build a cluster there is no go on the PATH");
}

function isOnPath(program: string, path: string): boolean {
  return path.split(delimiter).some((folder) => existsSync(join(folder, program)));
}

function none(state: string): ClusterSource {
  return { kind: "none", reason: `Cannot run the cluster tier: ${state}` };
}
