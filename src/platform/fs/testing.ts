/**
 * For tests: the CNI folders of a host with real files in a temporary folder, a way to wait for who works on them without
 * looking at a clock, and calls of the file system of which any can be made to fail or to be the last one.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "../../core/log.ts";
import { plainDeps } from "./atomic-write.ts";
import { createDirectoryWatch, type DirectoryWatch } from "./directory-watch.ts";
import { type FileCalls, fileCalls } from "./file-calls.ts";
import { createHostFiles } from "./host-files.ts";

/** Content of the plugin in the image. */
export const PLUGIN = "\u007fELF our plugin";

/** Called before each call of the file system with its name and first argument; what it throws is what the call throws. */
export type Fault = (call: string, path: string) => void;

export class TestHost {
  readonly root = mkdtempSync(join(tmpdir(), "istio-cni-install-"));
  readonly netDir = join(this.root, "net.d");
  readonly binDir = join(this.root, "bin");
  readonly sourceDir = join(this.root, "image");
  readonly runDir = join(this.root, "run");
  readonly logged: string[] = [];
  /** For whoever counts what happens. */
  readonly counted: string[] = [];
  fault: Fault = () => undefined;
  readonly #listeners = new Set<() => void>();

  constructor() {
    for (const folder of [this.netDir, this.binDir, this.sourceDir, this.runDir]) mkdirSync(folder);
    writeFileSync(join(this.sourceDir, "istio-cni"), PLUGIN, { mode: 0o755 });
  }

  writeConf(name: string, text: string): void {
    writeFileSync(join(this.netDir, name), text);
  }

  readConf(name: string): string | undefined {
    try {
      return readFileSync(join(this.netDir, name), "utf8");
    } catch {
      return undefined;
    }
  }

  confNames(): string[] {
    return readdirSync(this.netDir).toSorted();
  }

  plugin(): string | undefined {
    try {
      return readFileSync(join(this.binDir, "istio-cni"), "utf8");
    } catch {
      return undefined;
    }
  }

  readonly files = createHostFiles({ ...plainDeps, calls: this.#faultyCalls() });

  readonly log: Logger = {
    debug: (message) => this.#record(`debug ${message}`),
    info: (message) => this.#record(`info ${message}`),
    warn: (message) => this.#record(`warn ${message}`),
    error: (message) => this.#record(`error ${message}`),
    scope: () => this.log,
  };

  readonly clock = {
    nowMs: () => performance.now(),
    sleep: async (ms: number, signal: AbortSignal): Promise<void> => {
      this.#notify();
      signal.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      clearTimeout(timer);
    },
  };

  /** Resolves when `condition` holds at a moment at which whoever works on the host waits or sleeps. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = (): void => {
      if (condition()) resolve();
    };
    this.#listeners.add(listener);
    await promise;
    this.#listeners.delete(listener);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #record(line: string): void {
    this.logged.push(line);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  /** A real watch; `until` looks whenever somebody waits on it. */
  watchFolders(folders: readonly string[]): DirectoryWatch {
    const watch = createDirectoryWatch(folders);
    return {
      arm: () => watch.arm(),
      wait: (timeoutMs, signal) => {
        this.#notify();
        return watch.wait(timeoutMs, signal);
      },
      unwatched: () => watch.unwatched(),
      [Symbol.dispose]: () => watch[Symbol.dispose](),
    };
  }

  #faultyCalls(): FileCalls {
    return faultyCalls((call, path) => this.fault(call, path));
  }
}

const HANDLE_CALLS = new Set(["stat", "read", "writeFile", "chmod", "chown", "sync"]);

/** The real calls, each announced to `fault` before it is made; calls on an open file as "file.sync" with its path. */
export function faultyCalls(fault: Fault): FileCalls {
  const intercept = <T extends object>(
    target: T,
    prefix: string,
    path: string | undefined,
    names: ReadonlySet<string>,
  ): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        if (typeof name !== "string" || !names.has(name)) return value.bind(object);
        return async (...args: unknown[]): Promise<unknown> => {
          const at = path ?? String(args[0]);
          fault(`${prefix}${name}`, at);
          const result: unknown = await Reflect.apply(value, object, args);
          return name === "open" && typeof result === "object" && result !== null
            ? intercept(result, "file.", at, HANDLE_CALLS)
            : result;
        };
      },
    });
  return intercept(
    { ...fileCalls },
    "",
    undefined,
    new Set(["lstat", "open", "readdir", "readlink", "rename", "rmdir", "unlink"]),
  );
}
