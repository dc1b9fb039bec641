// /proc/PID/mountinfo (proc_pid_mountinfo(5)): which mount a path lies on, and how it is mounted. Bounded by its reader.

/** One mount of this mount namespace. */
export type Mount = {
  /** Where it is mounted here. */
  readonly point: string;
  /** The folder of the file system that is shown there. */
  readonly root: string;
  /** Flags of the mount and of the file system: "ro", "noexec". */
  readonly options: ReadonlySet<string>;
  /** Mounts made on the host later show up here: the mount is shared with or a slave of another. */
  readonly isPropagated: boolean;
  readonly type: string;
};

const ESCAPED = /\\([0-7]{3})/g;

/** Total: lines that are none are passed over. In the order of the file, which is that of mounting. */
export function parseMountInfo(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [head = "", tail] = line.split(" - ", 2);
    const [, , , root, point, options, ...tags] = head.split(" ").map(unescapeOctal);
    if (tail === undefined || root === undefined || point === undefined || options === undefined) return [];
    const [type = "", , superOptions = ""] = tail.split(" ");
    return [
      {
        point,
        root,
        options: new Set([...options.split(","), ...superOptions.split(",").filter((option) => option === "ro")]),
        isPropagated: tags.some((tag) => /^(?:shared|master):/.test(tag)),
        type,
      },
    ];
  });
}

/** The mount on which `path` (absolute, without symlinks) lies: the last at the longest point. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const holds = mount.point === "/" || path === mount.point || path.startsWith(`${mount.point}/`);
    if (holds && mount.point.length >= (found?.point.length ?? 0)) found = mount;
  }
  return found;
}

/** Mounts on single entries of a folder: they cannot be replaced by renaming. */
export function mountsInside(mounts: readonly Mount[], folder: string): readonly Mount[] {
  return mounts.filter(({ point }) => point.startsWith(`${folder}/`) && !point.slice(folder.length + 1).includes("/"));
}

/** Where the path would be below the root of the mounted file system. */
export function sourceOf(mount: Mount, path: string): string {
  const below = mount.point === "/" ? path : path.slice(mount.point.length);
  return `${mount.root === "/" ? "" : mount.root}${below}` || "/";
}

function unescapeOctal(text: string): string {
  return text.replaceAll(ESCAPED, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
