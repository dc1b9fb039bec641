// The software bill of materials as CycloneDX 1.6 JSON (ECMA-424): components nested as they contain each other.
import type { Component } from "./components.ts";
import type { ImageSubject } from "./subject.ts";
import { uuidOf } from "./subject.ts";

export function renderCycloneDx(subject: ImageSubject, components: readonly Component[]): unknown {
  const root = subject.purl;
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(`cyclonedx ${subject.digest}`)}`,
    version: 1,
    metadata: {
      timestamp: subject.created,
      tools: { components: [{ type: "application", name: "istio-install-cni image build", version: subject.version }] },
      component: { type: "container", "bom-ref": root, name: "istio-install-cni", version: subject.tag, purl: root },
      properties: [{ name: "oci:image:digest", value: subject.digest }],
    },
    components: components.map(renderComponent),
    dependencies: [{ ref: root, dependsOn: components.map(({ id }) => id) }],
  };
}

function renderComponent({ files, contains, hash, ...component }: Component): unknown {
  return {
    ...renderHead(component),
    type: component.id === "istio-install-cni" ? "application" : "library",
    ...(hash === undefined ? {} : { hashes: [{ alg: hash.algorithm, content: hash.value }] }),
    components: [
      ...contains.map((part) => ({ type: "library", ...renderHead(part) })),
      ...files.map(({ path, sha1, sha256 }) => ({
        type: "file",
        "bom-ref": `/${path}`,
        name: `/${path}`,
        hashes: [
          { alg: "SHA-1", content: sha1 },
          { alg: "SHA-256", content: sha256 },
        ],
      })),
    ],
  };
}

function renderHead({
  id,
  name,
  version,
  purl,
  supplier,
  licence,
  cpe,
}: Omit<Component, "files" | "contains" | "hash">) {
  return {
    "bom-ref": id,
    supplier: { name: supplier },
    name,
    version,
    ...(licence === undefined ? {} : { licenses: [{ license: { id: licence } }] }),
    ...(cpe === undefined ? {} : { cpe }),
    purl,
  };
}
