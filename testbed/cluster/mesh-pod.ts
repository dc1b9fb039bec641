// Pods for a real kubelet: an application, and the same with the sidecar that istiod would inject, its images replaced by
// stand-ins (native sidecar: ../sidecar/nettool.c; istio-validation: validation.c).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Injection, renderInjection } from "../api-server/injected-sidecar.ts";
import type { JsonObject } from "../api-server/kube-object.ts";
import { compileStatic } from "../node/compile.ts";
import { renderImageArchive } from "../node/image.ts";
import { REPOSITORY } from "../node/repository.ts";

export interface PodChoice {
  readonly name: string;
  readonly namespace: string;
}

const IMAGE = { image: "localhost/istio-install-cni/pod:test", imagePullPolicy: "IfNotPresent" };
export const APPLICATION_PORT = 8080;
/** Where it answers over HTTP. */
export const HTTP_PORT = 8081;

/** Renders the archive of the one image that all these pods run. */
export function renderPodImage(): Uint8Array {
  const program = (path: string) => ({ content: readFileSync(compileStatic(join(REPOSITORY, path))), mode: 0o755 });
  return renderImageArchive({
    reference: IMAGE.image,
    files: [
      { path: "nettool", ...program("testbed/sidecar/nettool.c") },
      { path: "validation", ...program("testbed/cluster/validation.c") },
    ],
    entrypoint: ["/nettool"],
    command: ["pause"],
  });
}

/** How the kubelet asks the application whether it is Ready. */
export type ProbeKind = "tcpSocket" | "httpGet";

/** A pod without sidecar: an application on APPLICATION_PORT and HTTP_PORT, probed there by the kubelet each second. */
export function renderPlainPod(choice: PodChoice, probe: ProbeKind = "tcpSocket"): JsonObject {
  return renderPod(choice, { labels: {}, annotations: {}, initContainers: [], containers: [] }, probe);
}

/** How a pod is put into the mesh. */
export interface MeshPodOptions {
  /** The proxy as an init container that stays (Kubernetes 1.29), or as an ordinary container. @default true */
  readonly isNative?: boolean;
  /** Without istio-validation it starts uncaptured as well, where it is to be seen that it does. @default true */
  readonly isValidated?: boolean;
}

/** The same in the mesh. */
export function renderMeshPod(
  choice: PodChoice,
  { isNative = true, isValidated = true }: MeshPodOptions = {},
): JsonObject {
  const { labels, annotations, initContainers, containers } = renderInjection("app", { native: isNative });
  const replace = ({ name, args, env, securityContext, restartPolicy }: JsonObject): JsonObject[] => {
    const kept = { name, args, securityContext, ...IMAGE };
    if (name === "istio-proxy") return [{ ...kept, env, restartPolicy, command: ["/nettool", "sidecar"] }];
    return isValidated ? [{ ...kept, command: ["/validation"] }] : [];
  };
  return renderPod(choice, {
    ...{ labels, annotations },
    initContainers: initContainers.flatMap(replace),
    containers: containers.flatMap(replace),
  });
}

function renderPod(
  { name, namespace }: PodChoice,
  added: Pick<Injection, "labels" | "annotations" | "initContainers" | "containers">,
  probe: ProbeKind = "tcpSocket",
): JsonObject {
  const probed = probe === "httpGet" ? { path: "/ready", port: HTTP_PORT } : { port: APPLICATION_PORT };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name, ...added.labels }, annotations: added.annotations },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      initContainers: added.initContainers,
      containers: [
        {
          name: "app",
          ...IMAGE,
          command: ["/nettool", "serve", String(APPLICATION_PORT), `${HTTP_PORT}/http`],
          securityContext: { runAsUser: 1000 },
          readinessProbe: { [probe]: probed, periodSeconds: 1 },
        },
        ...added.containers,
      ],
    },
  };
}
