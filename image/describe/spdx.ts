// The software bill of materials as SPDX 2.3 JSON: packages, files, and who contains what.
import { hashOf } from "../inputs/cache.ts";
import type { Component } from "./components.ts";
import { type ImageSubject, uuidOf } from "./subject.ts";

const UNKNOWN = "NOASSERTION";

export function renderSpdx(subject: ImageSubject, components: readonly Component[]): unknown {
  const image = "SPDXRef-image";
  const files = components.flatMap((component) => component.files.map((file) => ({ ...file, owner: component.id })));
  const parts = components.flatMap(({ id, contains }) => contains.map((part) => ({ ...part, owner: id })));
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `istio-install-cni:${subject.tag}`,
    documentNamespace: `urn:uuid:${uuidOf(`spdx ${subject.digest}`)}`,
    creationInfo: { created: subject.created, creators: [`Tool: istio-install-cni-image-build-${subject.version}`] },
    documentDescribes: [image],
    packages: [
      {
        SPDXID: image,
        name: "istio-install-cni",
        versionInfo: subject.tag,
        supplier: "Organization: istio-install-cni",
        downloadLocation: UNKNOWN,
        filesAnalyzed: false,
        licenseConcluded: UNKNOWN,
        licenseDeclared: UNKNOWN,
        copyrightText: UNKNOWN,
        primaryPackagePurpose: "CONTAINER",
        checksums: [{ algorithm: "SHA256", checksumValue: subject.digest.replace("sha256:", "") }],
        externalRefs: [purlReference(subject.purl)],
      },
      ...components.map((component) => ({
        ...renderPackage(component),
        ...(component.hash === undefined
          ? {}
          : {
              checksums: [
                { algorithm: component.hash.algorithm.replace("-", ""), checksumValue: component.hash.value },
              ],
            }),
        ...(component.files.length === 0
          ? { filesAnalyzed: false }
          : {
              filesAnalyzed: true,
              packageVerificationCode: { packageVerificationCodeValue: verificationCode(component) },
              licenseInfoFromFiles: [UNKNOWN],
            }),
      })),
      ...parts.map((part) => ({ ...renderPackage(part), filesAnalyzed: false })),
    ],
    files: files.map(({ path, sha1, sha256 }) => ({
      SPDXID: fileId(path),
      fileName: `./${path}`,
      checksums: [
        { algorithm: "SHA1", checksumValue: sha1 },
        { algorithm: "SHA256", checksumValue: sha256 },
      ],
      licenseConcluded: UNKNOWN,
      licenseInfoInFiles: [UNKNOWN],
      copyrightText: UNKNOWN,
    })),
    relationships: [
      relation("SPDXRef-DOCUMENT", "DESCRIBES", image),
      ...components.map(({ id }) => relation(image, "CONTAINS", packageId(id))),
      ...parts.map(({ id, owner }) => relation(packageId(owner), "STATIC_LINK", packageId(id))),
      ...files.map(({ path, owner }) => relation(packageId(owner), "CONTAINS", fileId(path))),
    ],
  };
}

function renderPackage({
  id,
  name,
  version,
  supplier,
  licence,
  purl,
  cpe,
}: Omit<Component, "files" | "contains" | "hash">) {
  return {
    SPDXID: packageId(id),
    name,
    versionInfo: version,
    supplier: `Organization: ${supplier}`,
    downloadLocation: UNKNOWN,
    licenseConcluded: licence ?? UNKNOWN,
    licenseDeclared: licence ?? UNKNOWN,
    copyrightText: UNKNOWN,
    externalRefs: [
      purlReference(purl),
      ...(cpe === undefined
        ? []
        : [{ referenceCategory: "SECURITY", referenceType: "cpe23Type", referenceLocator: cpe }]),
    ],
  };
}

function purlReference(purl: string) {
  return { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl };
}

/** SPDX 2.3, 7.9: SHA-1 of the sorted SHA-1 sums of the files, one after the other. */
function verificationCode({ files }: Component): string {
  const sums = files.map(({ sha1 }) => sha1).toSorted();
  return hashOf(new TextEncoder().encode(sums.join("")), "sha1");
}

function relation(spdxElementId: string, relationshipType: string, relatedSpdxElement: string) {
  return { spdxElementId, relationshipType, relatedSpdxElement };
}

function packageId(id: string): string {
  return `SPDXRef-package-${id.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`;
}

/** Paths have characters that an SPDX identifier may not have, and two of them must not become one. */
function fileId(path: string): string {
  return `SPDXRef-file-${hashOf(new TextEncoder().encode(path)).slice(0, 32)}`;
}
