// What can be said about a pod of the mesh, in the words of Kubernetes, and what the policy makes of it: text in, plan out,
// by the very path a pod takes through the agent.
import { sidecarSettings } from "../../src/cmd/sidecar-settings.ts";
import { resolveConfig } from "../../src/core/config/resolve-config.ts";
import { parsePod } from "../../src/core/kube/pod.ts";
import { decideSidecar, type SidecarPlan } from "../../src/core/policy/sidecar-decision.ts";

/** Everything of contract 5.1 that decides what is captured; what is absent is not set. */
export interface PodWords {
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of the container istio-proxy. */
  readonly env?: Readonly<Record<string, string>>;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  /** Environment of the agent. */
  readonly agentEnv?: Readonly<Record<string, string>>;
}

/** The capture such a pod gets, families left open. @throws {Error} when it gets none. */
export function planOfPod({ annotations, env, runAsUser, runAsGroup, agentEnv }: PodWords): SidecarPlan {
  const pod = parsePod({
    metadata: {
      uid: "1",
      namespace: "shop",
      name: "cart",
      resourceVersion: "1",
      annotations: { "sidecar.istio.io/status": "{}", ...annotations },
    },
    spec: {
      containers: [
        {
          name: "istio-proxy",
          args: ["proxy", "sidecar"],
          env: Object.entries(env ?? {}).map(([name, value]) => ({ name, value })),
          securityContext: {
            ...(runAsUser === undefined ? {} : { runAsUser }),
            ...(runAsGroup === undefined ? {} : { runAsGroup }),
          },
        },
      ],
    },
  });
  const { config } = resolveConfig({ flags: new Map(), env: agentEnv ?? {} });
  const decision = decideSidecar(pod, sidecarSettings(config));
  if (decision.kind !== "capture") throw new Error(`Cannot capture the pod: ${JSON.stringify(decision)}`);
  return decision.plan;
}
