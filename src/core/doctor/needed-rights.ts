// Which verbs of the Kubernetes API this configuration uses: what RBAC has to grant the agent, and what is lost without.

import type { AgentConfig } from "../config/agent-config.ts";
import { DAEMONSET_NAME } from "../kube/daemonset.ts";

/** One question to the authoriser, as in SelfSubjectAccessReview's resourceAttributes. */
export type Right = {
  readonly verb: "get" | "list" | "watch" | "patch" | "delete" | "create";
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** Without it pods are not captured; otherwise `lost` is all that is lost. */
  readonly isEssential: boolean;
  readonly lost: string;
};

/** In the order in which a report names them. */
export function neededRights({
  api,
  ambient,
  repair,
}: Pick<AgentConfig, "api" | "ambient" | "repair">): readonly Right[] {
  const following = (resource: string): Right[] =>
    (["list", "watch", "get"] as const).map((verb) => ({
      ...{ verb, group: "", resource, isEssential: true },
      lost: verb === "get" ? `${resource} that the watch has not shown yet are refused` : "no pod is captured",
    }));
  const onPods = (
    verb: "patch" | "delete",
    subresource: string | undefined,
    lost: string,
    isEssential = true,
  ): Right => ({
    ...{ verb, group: "", resource: "pods", isEssential, lost },
    ...(subresource === undefined ? {} : { subresource }),
  });
  const { podNamespace } = api;
  return [
    ...following("pods"),
    ...(ambient.enabled
      ? [
          ...following("namespaces"),
          onPods("patch", "status", "pods are not marked as enrolled, and ztunnel's users cannot see it"),
        ]
      : []),
    ...(repair.enabled && !repair.repairPods && repair.deletePods
      ? [onPods("delete", undefined, "broken pods are not deleted")]
      : []),
    ...(repair.enabled && !repair.repairPods && !repair.deletePods && repair.labelPods
      ? [onPods("patch", "status", "broken pods are not labelled")]
      : []),
    ...(["create", "patch"] as const).map((verb) => ({
      ...{ verb, group: "", resource: "events", isEssential: false },
      lost:
        verb === "create"
          ? "no Events: what happens to pods is only in the log, the metrics and status"
          : "repeated Events are not counted up",
    })),
    ...(podNamespace === undefined
      ? []
      : [
          {
            ...({ verb: "get", group: "apps", resource: "daemonsets", isEssential: false } as const),
            namespace: podNamespace,
            name: DAEMONSET_NAME,
            lost: "removal of the DaemonSet is never proven: take the plugin off by install-cni uninstall",
          },
        ]),
  ];
}

/** "list pods", "get daemonsets.apps istio-system/istio-cni-node" */
export function wordsOfRight({ verb, group, resource, subresource, namespace, name }: Right): string {
  const what = `${resource}${group === "" ? "" : `.${group}`}${subresource === undefined ? "" : `/${subresource}`}`;
  const which = [namespace, name].filter((part) => part !== undefined).join("/");
  return which === "" ? `${verb} ${what}` : `${verb} ${what} ${which}`;
}
