// The four images: what each is for, what it is made of, who it runs as, and what it says of itself.
import { NON_ROOT } from "./debian/system-files.ts";

export const VARIANTS = ["runtime", "dev", "fips", "fips-dev"] as const;
export type Variant = (typeof VARIANTS)[number];

export interface VariantTraits {
  /** Whole Debian packages with shell and apt, and root as user. */
  readonly isDev: boolean;
  readonly isFips: boolean;
  /** After the version in a tag; empty for runtime. */
  readonly tagSuffix: string;
  readonly user: string;
}

export function traitsOf(variant: Variant): VariantTraits {
  const isDev = variant.endsWith("dev");
  return {
    isDev,
    isFips: variant.startsWith("fips"),
    tagSuffix: variant === "runtime" ? "" : `-${variant}`,
    // A number: Kubernetes' runAsNonRoot cannot tell who a name is.
    user: isDev ? "0:0" : `${NON_ROOT}:${NON_ROOT}`,
  };
}

export interface BuildIdentity {
  readonly version: string;
  /** Commit of the sources, in full; undefined for a source archive, and for a checkout that has been changed. */
  readonly revision: string | undefined;
  /** Time of that commit, or the lock's date: no clock, so that two builds are the same. */
  readonly created: string;
}

/** The process an image describes: what a runtime starts when nobody overrides it. */
export function processOf(variant: Variant): Readonly<Record<string, unknown>> {
  return {
    User: traitsOf(variant).user,
    // The launcher goes through tini itself when it is process 1, so a chart that overrides this gets the same.
    Entrypoint: ["/usr/local/bin/install-cni"],
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/cni/bin"],
    WorkingDir: "/opt/cni/bin",
  };
}

/** Annotations of the OCI specification, on index, manifest and as labels in the config. */
export function annotationsOf(
  variant: Variant,
  { version, revision, created }: BuildIdentity,
): Readonly<Record<string, string>> {
  const { isFips, isDev } = traitsOf(variant);
  const notes = [
    isFips ? "FIPS mode enforced with a module that is not CMVP-validated" : "",
    isDev ? "with shell and package manager" : "",
  ];
  return {
    "org.opencontainers.image.title": "istio-install-cni",
    "org.opencontainers.image.description": [
      "Node agent and CNI plugin that put pods into the Istio mesh",
      ...notes.filter((note) => note !== ""),
    ].join("; "),
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.created": created,
    ...(revision === undefined ? {} : { "org.opencontainers.image.revision": revision }),
  };
}

/** Labels that the hardened catalogue's images have and policies read; those that can be said truly of ours. */
export function labelsOf(variant: Variant, identity: BuildIdentity): Readonly<Record<string, string>> {
  const { isFips, isDev } = traitsOf(variant);
  const prefix = "com.docker.dhi.";
  return {
    ...annotationsOf(variant, identity),
    [`${prefix}name`]: "istio-install-cni",
    [`${prefix}title`]: "Istio install-cni",
    [`${prefix}version`]: identity.version,
    [`${prefix}variant`]: isDev ? "dev" : "runtime",
    [`${prefix}flavor`]: isFips ? "fips" : "",
    [`${prefix}distro`]: "debian-13",
    [`${prefix}shell`]: isDev ? "bash" : "",
    [`${prefix}package-manager`]: isDev ? "apt" : "",
  };
}
