// The node's own view of the disk: the folders that a container runtime, CNI plugins and our installer write to are
// copies on write above a tmpfs. What the machine has there is seen; what the node writes is gone with its namespaces.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "./command.ts";
import { REPOSITORY } from "./repository.ts";

const PRIVATE_FOLDERS = ["/etc", "/opt", "/var/lib"];

/** Makes the private folders. A checkout that lies inside one of them stays the machine's (build output is kept).
 * Undone by `dispose`, which may be called once nothing runs in those folders any more.
 * @throws {Error} when overlayfs cannot be mounted. */
export async function makeFoldersPrivate(stateDir: string): Promise<AsyncDisposable> {
  const mounted: string[] = [];
  const unmount = async (): Promise<void> => {
    for (const target of mounted.splice(0).reverse()) await mustRun(["umount", "--lazy", target]);
  };
  try {
    for (const folder of PRIVATE_FOLDERS) {
      if (!existsSync(folder)) continue;
      const layers = join(stateDir, "folders", folder.slice(1).replaceAll("/", "-"));
      for (const name of ["upper", "work"]) mkdirSync(join(layers, name), { recursive: true });
      const kept = REPOSITORY.startsWith(`${folder}/`) ? join(layers, "checkout") : undefined;
      if (kept !== undefined) {
        mkdirSync(kept);
        await mustRun(["mount", "--bind", REPOSITORY, kept]);
        mounted.push(kept);
      }
      const overlay = `lowerdir=${folder},upperdir=${join(layers, "upper")},workdir=${join(layers, "work")}`;
      await mustRun(["mount", "-t", "overlay", "-o", overlay, "testbed", folder]);
      mounted.push(folder);
      if (kept !== undefined) {
        await mustRun(["mount", "--bind", kept, REPOSITORY]);
        mounted.push(REPOSITORY);
      }
    }
  } catch (error) {
    await unmount();
    throw error;
  }
  return { [Symbol.asyncDispose]: unmount };
}
