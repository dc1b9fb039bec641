// Which form of an object the client gets: the whole of it, or its metadata only. Responsible for the Accept header and
// the shapes of lists; Table and protobuf are deliberately absent (clients fall back to JSON).
import { notAcceptable } from "./api-error.ts";
import type { JsonObject, KubeObject } from "./kube-object.ts";
import { apiVersionOf, type Resource } from "./resources.ts";

/** How objects go onto the wire. */
export type Form = "object" | "metadata";

const SUPPORTED =
  "application/json, application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** The first form in `accept` this server has. `isList` is false for a watch. Throws ApiError 406. */
export function parseAccept(accept: string | undefined, resource: Resource, isList: boolean): Form {
  const goType = `*${resource.group === "apps" ? "apps" : "core"}.${resource.kind}`;
  for (const clause of (accept ?? "*/*").split(",")) {
    const [type = "", ...parameters] = clause.split(";").map((part) => part.trim());
    if (!["application/json", "application/*", "*/*", ""].includes(type)) continue;
    const as = parameters.find((parameter) => parameter.startsWith("as="))?.slice(3);
    if (as === undefined) return "object";
    if (!parameters.includes("g=meta.k8s.io") || !parameters.includes("v=v1")) continue;
    if (as === "PartialObjectMetadata") {
      if (isList)
        throw notAcceptable(`you requested PartialObjectMetadata, but the requested object is a list (${goType}List)`);
      return "metadata";
    }
    if (as === "PartialObjectMetadataList") {
      if (!isList)
        throw notAcceptable(
          `you requested PartialObjectMetadataList, but the requested object is not a list (${goType})`,
        );
      return "metadata";
    }
  }
  throw notAcceptable(`only the following media types are accepted: ${SUPPORTED}`);
}

/** One stored object in the client's form. */
export function renderObject(stored: KubeObject, resource: Resource, form: Form): JsonObject {
  const object = resource.toWire(stored);
  if (form === "metadata")
    return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
  const { kind, apiVersion, metadata, ...rest } = object;
  return { kind, apiVersion, metadata, ...rest };
}

/** A list. Items of a typed list carry no kind and apiVersion of their own, items of a metadata list do. */
export function renderList(
  stored: readonly KubeObject[],
  metadata: JsonObject,
  resource: Resource,
  form: Form,
): JsonObject {
  if (form === "metadata") {
    const items = stored.map((object) => renderObject(object, resource, form));
    return { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata, items };
  }
  const items = stored.map((object) => {
    const { kind: _kind, apiVersion: _version, ...rest } = resource.toWire(object);
    return rest;
  });
  return { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata, items };
}

/** The object of a BOOKMARK event: nothing but a version. */
export function renderBookmark(
  revision: number,
  resource: Resource,
  form: Form,
  annotations?: Record<string, string>,
): JsonObject {
  const metadata = { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) };
  if (form === "metadata") return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
  return { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata, ...EMPTY[resource.kind] };
}

// Go writes fields without omitempty even into an object that is empty.
const EMPTY: Readonly<Record<string, JsonObject>> = {
  Pod: { spec: { containers: null }, status: {} },
  Namespace: { spec: {}, status: {} },
  Node: {
    spec: {},
    status: {
      daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
      nodeInfo: {
        ...{ machineID: "", systemUUID: "", bootID: "", kernelVersion: "", osImage: "", containerRuntimeVersion: "" },
        ...{ kubeletVersion: "", kubeProxyVersion: "", operatingSystem: "", architecture: "" },
      },
    },
  },
  Event: { involvedObject: {}, source: {}, firstTimestamp: null, lastTimestamp: null, eventTime: null },
  DaemonSet: {
    spec: { selector: null, template: { metadata: {}, spec: { containers: null } }, updateStrategy: {} },
    status: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
  },
};
