// The descriptions of an image, as files of a build and as what an attestation says. One list, so that no image misses one.
import type { BuiltImage } from "../assemble-image.ts";
import type { Inputs } from "../build-inputs.ts";
import { listComparable, listObjections, readKnown } from "../scan/known.ts";
import { listComponents } from "./components.ts";
import { renderCycloneDx } from "./cyclonedx.ts";
import { readBuilderId, renderProvenance } from "./provenance.ts";
import { renderSpdx } from "./spdx.ts";
import { subjectOf } from "./subject.ts";
import { readTriage } from "./triage.ts";
import { renderOpenVex, renderVulnerabilities } from "./vulnerabilities.ts";

/** File name in the folder of an image's descriptions, by predicate type. */
export const PREDICATES = {
  "https://cyclonedx.org/bom": "sbom.cdx.json",
  "https://spdx.dev/Document": "sbom.spdx.json",
  "https://slsa.dev/provenance/v1": "provenance.slsa.json",
  "https://openvex.dev/ns/v0.2.0": "openvex.json",
  "https://in-toto.io/attestation/vulns/v0.2": "vulnerabilities.json",
} as const;

/** Of the tests, which run after the build and are the same for all images of it. */
export const TEST_RESULT = {
  type: "https://in-toto.io/attestation/test-result/v0.1",
  file: "test-result.json",
} as const;

/** Of a hardening profile, for images that were held against one (check-profile.ts). */
export const PROFILE_RESULT = {
  type: "https://istio-install-cni.invalid/attestations/profile-result/v1",
  file: "profile-result.json",
} as const;

export type PredicateType = keyof typeof PREDICATES;

/** The same text for the same image. @throws {Error} when what it would say is not so. */
export function describeImage(image: BuiltImage, inputs: Inputs): Readonly<Record<PredicateType, unknown>> {
  const components = listComponents(image, inputs);
  const subject = subjectOf(image, inputs.identity);
  const [triage, known] = [readTriage(), readKnown()];
  const objections = listObjections(known, triage, listComparable(inputs.lock));
  if (objections.length > 0) throw new Error(`Cannot describe the vulnerabilities:\n  ${objections.join("\n  ")}`);
  return {
    "https://cyclonedx.org/bom": renderCycloneDx(subject, components),
    "https://spdx.dev/Document": renderSpdx(subject, components),
    "https://slsa.dev/provenance/v1": renderProvenance(inputs, image.variant, image.architecture, readBuilderId()),
    "https://openvex.dev/ns/v0.2.0": renderOpenVex(subject, components, triage, image),
    "https://in-toto.io/attestation/vulns/v0.2": renderVulnerabilities(components, triage, known),
  };
}
