// Who this build is: the bundler puts the values in, a checkout run directly has none.
import type { BuildInfo } from "./commands/version.ts";

declare const BUILD_VERSION: string;
declare const BUILD_REVISION: string;
declare const BUILD_STATUS: string;

export const buildInfo: BuildInfo = {
  version: typeof BUILD_VERSION === "undefined" ? "unknown" : BUILD_VERSION,
  revision: typeof BUILD_REVISION === "undefined" ? "unknown" : BUILD_REVISION,
  status: typeof BUILD_STATUS === "undefined" ? "Modified" : BUILD_STATUS,
  tag: typeof BUILD_VERSION === "undefined" ? "unknown" : BUILD_VERSION,
  runtime: process.version,
};
