// The promise that anybody can make the same images: everything compiled, bundled and packed once more from the same sources
// and inputs, on another path, by another user and without what the first build left, and the bytes are the same.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cacheFolder } from "../../image/inputs/cache.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { IMAGES, NATIVE_ARCHITECTURE } from "./built-images.ts";

/** Not root, and nobody this machine knows. */
const BUILDER = 54321;

test("a second build, on another path, by another user and without a cache of layers, has the same digests", () => {
  const scratch = mkdtempSync(join(tmpdir(), "second-build-"));
  try {
    const checkout = join(scratch, "somewhere-else");
    mkdirSync(checkout);
    copyCheckout(checkout);
    // The inputs are shared, the layers are not.
    const cache = join(scratch, "cache");
    mkdirSync(cache);
    cpSync(cacheFolder("inputs"), join(cache, "inputs"), { recursive: true });
    for (const entry of readdirSync(scratch, { withFileTypes: true, recursive: true }))
      lchownSync(join(entry.parentPath, entry.name), BUILDER, BUILDER);
    lchownSync(scratch, BUILDER, BUILDER);

    const build = (...argv: readonly [string, ...string[]]): void => {
      const [program, ...args] = argv;
      const done = spawnSync(join(checkout, program), args, {
        cwd: checkout,
        encoding: "utf8",
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: scratch,
          IMAGE_CACHE: cache,
          TZ: "Asia/Tokyo",
          LC_ALL: "C.UTF-8",
        },
        uid: BUILDER,
        gid: BUILDER,
        timeout: 500_000,
      });
      assert.equal(done.status, 0, `${argv.join(" ")}: ${done.stderr}`);
    };
    // One variant and architecture have all there is to get wrong: layers of every kind and a launcher of their own. The
    // compiler begins with an empty cache, which takes a minute for each architecture.
    build("plugin/build", NATIVE_ARCHITECTURE);
    build("launcher/build", NATIVE_ARCHITECTURE);
    mkdirSync(join(checkout, "out/lib/istio-install-cni"), { recursive: true });
    lchownSync(join(checkout, "out/lib/istio-install-cni"), BUILDER, BUILDER);
    build("tools/node", "tools/bundle.ts", "out/lib/istio-install-cni");
    const only = ["--variant", "fips", "--arch", NATIVE_ARCHITECTURE];
    build("tools/node", "image/build-images.ts", ...only, "--no-layer-cache", "--out", join(checkout, "out/images"));
    assert.deepEqual(readSize(join(checkout, "out/images")), readSize(IMAGES));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

/** Digests and sizes of the image and each of its layers. */
function readSize(folder: string): unknown {
  const sizes: { variant: string; architecture: string }[] = JSON.parse(
    readFileSync(join(folder, "sizes.json"), "utf8"),
  );
  const found = sizes.find(({ variant, architecture }) => variant === "fips" && architecture === NATIVE_ARCHITECTURE);
  assert.ok(found !== undefined);
  return found;
}

/** All that git knows or would add, and git's own folder; what was downloaded is shared, what was built is left behind. */
function copyCheckout(checkout: string): void {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: REPOSITORY,
    encoding: "utf8",
  });
  for (const name of listed.split("\0").filter((each) => each !== "" && existsSync(join(REPOSITORY, each))))
    cpSync(join(REPOSITORY, name), join(checkout, name));
  const git = join(REPOSITORY, ".git");
  cpSync(git, join(checkout, ".git"), { recursive: true, filter: (path) => path !== join(git, "objects") });
  symlinkSync(join(git, "objects"), join(checkout, ".git/objects"));
  symlinkSync(join(REPOSITORY, "node_modules"), join(checkout, "node_modules"));
  // The compiler, with a cache of its own that another user may write.
  mkdirSync(join(checkout, ".cache/zig"), { recursive: true });
  for (const pin of readdirSync(join(REPOSITORY, ".cache/zig")).filter((name) => /^\d+$/.test(name)))
    symlinkSync(join(REPOSITORY, ".cache/zig", pin), join(checkout, ".cache/zig", pin));
  // A link is no folder to .gitignore, and a second build must not look modified because of it.
  mkdirSync(join(checkout, ".git/info"), { recursive: true });
  appendFileSync(join(checkout, ".git/info/exclude"), "/node_modules\n");
}
