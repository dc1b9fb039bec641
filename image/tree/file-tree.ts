// The files of a layer or an image, in memory: what each is, who owns it as a user, and which component it came from.

interface EntryBase {
  /** From the root, without a leading slash. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  /** The component it came from: `deb:NAME`, `npm:NAME`, or `own` for what is made here. */
  readonly origin: string;
}

export type TreeEntry =
  | (EntryBase & { readonly kind: "directory" })
  | (EntryBase & { readonly kind: "symlink"; readonly target: string })
  | (EntryBase & {
      readonly kind: "file";
      readonly content: Uint8Array;
      /** File capabilities, permitted and not effective (`=p`), as a set of bits. */
      readonly capabilities?: bigint;
    });

/** By path. A later layer's entry takes the place of an earlier one's. */
export type FileTree = ReadonlyMap<string, TreeEntry>;

export const OWN = "own";

/** Collects entries; folders that an entry needs are added as they are needed. */
export class TreeBuilder {
  readonly #entries = new Map<string, TreeEntry>();

  /** @throws {Error} when two components bring different entries under one path, folders excepted. */
  add(entry: TreeEntry): void {
    this.#addParents(entry);
    const there = this.#entries.get(entry.path);
    if (there !== undefined) {
      if (there.kind === "directory" && entry.kind === "directory") {
        if (there.origin === OWN) this.#entries.set(entry.path, entry);
        return;
      }
      if (there.origin !== entry.origin || there.kind !== entry.kind)
        throw new Error(`Cannot add /${entry.path} of ${entry.origin}: ${there.origin} has it already`);
    }
    this.#entries.set(entry.path, entry);
  }

  file(
    path: string,
    content: Uint8Array | string,
    options: { mode?: number; origin?: string; capabilities?: bigint } = {},
  ): void {
    this.add({
      ...base(path, options.mode ?? 0o644, options.origin),
      kind: "file",
      content: typeof content === "string" ? new TextEncoder().encode(content) : content,
      ...(options.capabilities === undefined ? {} : { capabilities: options.capabilities }),
    });
  }

  symlink(path: string, target: string, origin?: string): void {
    this.add({ ...base(path, 0o777, origin), kind: "symlink", target });
  }

  directory(path: string, mode = 0o755): void {
    this.add({ ...base(path, mode), kind: "directory" });
  }

  /** Takes an entry away, and what lies below it. */
  remove(path: string): void {
    for (const key of this.#entries.keys()) if (key === path || key.startsWith(`${path}/`)) this.#entries.delete(key);
  }

  get(path: string): TreeEntry | undefined {
    return this.#entries.get(path);
  }

  /** Sorted, so that folders come before what is in them. */
  finish(): FileTree {
    return new Map([...this.#entries].toSorted(([a], [b]) => comparePaths(a, b)));
  }

  #addParents(entry: TreeEntry): void {
    const parts = entry.path.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join("/");
      const there = this.#entries.get(path);
      if (there === undefined) this.#entries.set(path, { ...base(path, 0o755), kind: "directory" });
      else if (there.kind !== "directory") throw new Error(`Cannot add /${entry.path}: /${path} is a ${there.kind}`);
    }
  }
}

function base(path: string, mode: number, origin: string = OWN): EntryBase {
  return { path, mode, uid: 0, gid: 0, mtimeSeconds: 0, origin };
}

function comparePaths(a: string, b: string): number {
  const [left, right] = [a.replaceAll("/", "\0"), b.replaceAll("/", "\0")];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** One tree of several layers, the last one on top. */
export function mergeLayers(layers: readonly FileTree[]): FileTree {
  return new Map(layers.flatMap((layer) => [...layer]).toSorted(([a], [b]) => comparePaths(a, b)));
}

/** Follows symbolic links inside the tree. Undefined when the way ends nowhere or goes in a circle. */
export function resolvePath(tree: FileTree, path: string): TreeEntry | undefined {
  let rest = path.split("/").filter((part) => part !== "");
  let at: string[] = [];
  for (let links = 0; links < 40; ) {
    const [part, ...more] = rest;
    if (part === undefined) return tree.get(at.join("/"));
    rest = more;
    if (part === "." || part === "..") {
      if (part === "..") at = at.slice(0, -1);
      continue;
    }
    const entry = tree.get([...at, part].join("/"));
    if (entry?.kind !== "symlink") {
      at = [...at, part];
      continue;
    }
    links += 1;
    if (entry.target.startsWith("/")) at = [];
    rest = [...entry.target.split("/").filter((each) => each !== ""), ...rest];
  }
  return undefined;
}
