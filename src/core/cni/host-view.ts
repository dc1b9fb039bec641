/**
 * What the installer sees of a host and the changes it can make there: the words in which decide-install.ts and
 * decide-removal.ts take a view and give back steps. Seeing and doing is agent/install.
 */
import type { ConfFile } from "./choose-conflist.ts";

/** A single configuration that became a list is kept under its own name plus this; no runtime loads that name. */
export const BACKUP_SUFFIX = ".istio-cni-original";

/** `path` is the folder as it was found this time: which of several there is may change (DESIGN 2.1). */
export type NetDirView = { readonly path: string } & (
  | {
      /** Files with an extension a runtime loads; folders are left out, as libcni does. */
      readonly files: readonly ConfFile[];
      /** Content of the files that end in BACKUP_SUFFIX, by full name. */
      readonly backups: ReadonlyMap<string, Uint8Array>;
    }
  | { readonly unavailable: string }
);

export type BinDirView =
  | { readonly path: string; readonly plugin: "current" | "stale" | "absent" }
  | { readonly path: string; readonly unavailable: string };

export type HostView = {
  /** Why the plugin to be installed cannot be read, if so. */
  readonly pluginUnavailable: string | undefined;
  readonly netDir: NetDirView;
  readonly binDirs: readonly BinDirView[];
};

/** One change. Steps are carried out in their order and none is begun after one has failed. */
export type InstallStep =
  | { readonly kind: "copy-plugin" | "remove-plugin"; readonly dir: string }
  | {
      readonly kind: "write-conf";
      readonly name: string;
      readonly bytes: Uint8Array;
      /** What must still be there at the last moment; undefined: no file. Else somebody else was faster. */
      readonly expected: Uint8Array | undefined;
      readonly given?: FileAsSeen;
      /** A file whose mode and owner the new one takes; undefined: the existing file's, or those of new files. */
      readonly like: string | undefined;
    }
  | {
      readonly kind: "remove-conf";
      readonly name: string;
      readonly expected: Uint8Array;
      readonly given?: FileAsSeen;
    };

/** Another file that must still be as it was, or the step makes no sense any more. */
export type FileAsSeen = { readonly name: string; readonly bytes: Uint8Array };
