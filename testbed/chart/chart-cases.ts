// The renderings of the chart that are kept as golden texts, checked against the API and, some of them, installed.

export interface ChartCase {
  readonly name: string;
  readonly args: readonly string[];
  /** Of the server. */
  readonly kubeVersion?: string;
}

const set = (...pairs: readonly string[]): readonly string[] => pairs.flatMap((pair) => ["--set", pair]);

/** Rendered whole as plain manifests, chart/manifests. */
export const MANIFEST_CASES: readonly ChartCase[] = [
  { name: "sidecar", args: [] },
  { name: "ambient", args: set("profile=ambient") },
];

/** Kept as differences to the chart's defaults. */
export const CHART_CASES: readonly ChartCase[] = [
  { name: "profile-ambient", args: set("profile=ambient") },
  { name: "profile-demo", args: set("profile=demo") },
  { name: "profile-preview", args: set("profile=preview") },
  { name: "profile-remote", args: set("profile=remote") },
  { name: "profile-stable", args: set("profile=stable") },
  { name: "platform-gke", args: set("global.platform=gke") },
  { name: "platform-k3d", args: set("platform=k3d") },
  { name: "platform-k3s", args: set("platform=k3s") },
  { name: "platform-microk8s", args: set("platform=microk8s") },
  { name: "platform-minikube", args: set("platform=minikube", "profile=ambient") },
  { name: "platform-openshift", args: [...set("platform=openshift"), "--api-versions", "security.openshift.io/v1"] },
  { name: "compatibility-1.25", args: set("compatibilityVersion=1.25", "profile=ambient") },
  { name: "compatibility-1.30", args: set("compatibilityVersion=1.30") },
  { name: "kubernetes-1.29", args: set("profile=ambient"), kubeVersion: "v1.29.0" },
  { name: "repair-delete", args: set("cni.repair.repairPods=false", "cni.repair.deletePods=true") },
  { name: "repair-label", args: set("repair.repairPods=false", "repair.labelPods=true") },
  { name: "repair-off", args: set("repair.enabled=false") },
  { name: "scope-cluster", args: set("global.resourceScope=cluster") },
  { name: "scope-namespace", args: set("global.resourceScope=namespace") },
  { name: "everything", args: ["--values", "test/chart/testdata/everything.values.yaml"] },
];
