// How an image was made, as SLSA provenance 1.0 (https://slsa.dev/spec/v1.0/provenance): what it was made from, by which
// build definition. Who vouches for it is whoever signs it; a build on a person's machine is Build level 1 and says so.
import type { Inputs } from "../build-inputs.ts";
import { type Architecture, packagesOf } from "../inputs/lock.ts";
import { npmInputs } from "../inputs/npm-packages.ts";
import { traitsOf, type Variant } from "../variants.ts";

export const BUILD_TYPE = "https://istio-install-cni.invalid/build-types/make-images/v1";

/** Of a build on somebody's machine: a name for "nobody vouches for this builder". */
const LOCAL_BUILDER = "https://istio-install-cni.invalid/builders/local";

/** Who builds, as a CI service names itself in IMAGE_BUILDER_ID. @throws {Error} when that is no https URL. */
export function readBuilderId(value = process.env["IMAGE_BUILDER_ID"] ?? ""): string {
  if (value === "") return LOCAL_BUILDER;
  if (!URL.canParse(value) || new URL(value).protocol !== "https:")
    throw new Error(`Cannot name the builder: IMAGE_BUILDER_ID is ${JSON.stringify(value)}, no https URL`);
  return value;
}

/** `builderId` names the builder that signs. */
export function renderProvenance(
  inputs: Inputs,
  variant: Variant,
  architecture: Architecture,
  builderId: string,
): unknown {
  const { lock, identity } = inputs;
  const { isDev, isFips } = traitsOf(variant);
  const debian = [
    ...packagesOf(lock, isDev ? "dev" : "runtime", architecture),
    ...(isFips ? packagesOf(lock, "fips", architecture) : []),
  ];
  const npm = Object.values(npmInputs(architecture)).filter((each) => typeof each !== "string");
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: { variant, architecture, version: identity.version },
      internalParameters: { node: process.version, suite: lock.suite, lockDate: lock.date },
      resolvedDependencies: [
        {
          name: "source",
          ...(identity.revision === undefined ? {} : { digest: { gitCommit: identity.revision } }),
        },
        ...debian.map(({ name, version, pool, sha256, architecture: each }) => ({
          name,
          uri: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${each}`,
          downloadLocation: pool,
          digest: { sha256 },
        })),
        ...npm.map(({ name, version, sha512 }) => ({
          name,
          uri: `pkg:npm/${name.replace("@", "%40")}@${version}`,
          digest: { sha512 },
        })),
      ],
    },
    runDetails: { builder: { id: builderId } },
  };
}
