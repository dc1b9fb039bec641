/**
 * `install-cni version`: who we are, in the shapes of upstream's (pkg/version/cobra.go:57-126@1.30.3).
 */

/** Fixed when the program is built. */
export interface BuildInfo {
  /** "1.0.0"; "unknown" when run from a checkout. */
  readonly version: string;
  /** Commit. */
  readonly revision: string;
  /** "Clean" or "Modified". */
  readonly status: string;
  /** Tag of the image. */
  readonly tag: string;
  /** Version of the JavaScript runtime; shown where upstream tells Go's. */
  readonly runtime: string;
}

export interface VersionOptions {
  readonly short: boolean;
  readonly output: "text" | "json" | "yaml";
}

/** Ends with a line break. */
export function renderVersion(build: BuildInfo, { short, output }: VersionOptions): string {
  const { version, revision, runtime, status, tag } = build;
  const clientVersion = { version, revision, golang_version: runtime, status, tag };
  if (output === "json") return `${JSON.stringify({ clientVersion }, null, 2)}\n`;
  if (output === "yaml") {
    const fields = Object.entries(clientVersion).sort(([left], [right]) => (left < right ? -1 : 1));
    // A JSON string is a YAML scalar, and needs no rules about when to quote.
    return `clientVersion:\n${fields.map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`).join("")}`;
  }
  return `client version: ${short ? version : longVersion(build)}\n`;
}

/** "1.0.0-<commit>-Clean", as the log's first line and `version` tell it. */
export function longVersion({ version, revision, status }: BuildInfo): string {
  return `${version}-${revision}-${status}`;
}
