// Writes the image of the sandboxes' first process to the path that is the only argument; config/containerd.toml names it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileStatic } from "../../node/compile.ts";
import { renderImageArchive } from "../../node/image.ts";
import { REPOSITORY } from "../../node/repository.ts";

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("Cannot write the image: no path is given");
const program = readFileSync(compileStatic(join(REPOSITORY, "testbed/sidecar/nettool.c")));
writeFileSync(
  path,
  renderImageArchive({
    reference: "localhost/istio-install-cni/pause:1",
    files: [{ path: "nettool", content: program, mode: 0o755 }],
    entrypoint: ["/nettool"],
    command: ["pause"],
  }),
);
