// The promise that anybody can make the same images: once more from the same inputs, on another path, under another user
// and without what the first build left, and the bytes are the same.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, lchownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cacheFolder } from "../../image/inputs/cache.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { IMAGES, NATIVE_ARCHITECTURE } from "./built-images.ts";
import { readImage } from "./image-content.ts";

/** Not root, and nobody this machine knows. */
const BUILDER = 54321;

test("the images were made from what the checkout has built now", () => {
  const bundle = readImage("fips", NATIVE_ARCHITECTURE).files.get("usr/local/lib/istio-install-cni/agent.mjs");
  const built = readFileSync(join(REPOSITORY, "out/lib/istio-install-cni/agent.mjs"));
  assert.ok(Buffer.from(bundle?.content ?? []).equals(built), "Cannot compare builds: out/ is newer; run make images");
});

test("a second build, on another path, by another user and without a cache of layers, has the same digests", () => {
  const scratch = mkdtempSync(join(tmpdir(), "second-build-"));
  try {
    const checkout = join(scratch, "somewhere else");
    mkdirSync(checkout);
    for (const name of ["image", "launcher", "tools", "out", "package.json", "package-lock.json", "LICENSE", ".git"])
      cpSync(join(REPOSITORY, name), join(checkout, name), {
        recursive: true,
        filter: (path) =>
          !path.startsWith(join(REPOSITORY, "out/images")) && !path.startsWith(join(REPOSITORY, ".git/objects")),
      });
    symlinkSync(join(REPOSITORY, ".git/objects"), join(checkout, ".git/objects"));
    for (const name of ["node_modules", ".cache"]) symlinkSync(join(REPOSITORY, name), join(checkout, name));
    // The inputs are shared, the layers are not.
    const cache = join(scratch, "cache");
    mkdirSync(cache);
    cpSync(cacheFolder("inputs"), join(cache, "inputs"), { recursive: true });
    own(scratch);
    const argv = [
      "image/build-images.ts",
      "--variant",
      "fips",
      "--no-layer-cache",
      "--out",
      join(checkout, "out/images"),
    ];
    const done = spawnSync("tools/node", argv, {
      cwd: checkout,
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: scratch,
        IMAGE_CACHE: cache,
        TZ: "Asia/Tokyo",
        LC_ALL: "C.UTF-8",
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
      },
      ...(process.getuid?.() === 0 ? { uid: BUILDER, gid: BUILDER } : {}),
      timeout: 400_000,
    });
    assert.equal(done.status, 0, done.stderr);
    const sizes = (folder: string): unknown[] =>
      (
        JSON.parse(readFileSync(join(folder, "sizes.json"), "utf8")) as { variant: string; architecture: string }[]
      ).filter(({ variant, architecture }) => variant === "fips" && architecture === NATIVE_ARCHITECTURE);
    assert.deepEqual(sizes(join(checkout, "out/images")), sizes(IMAGES));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

function own(path: string): void {
  lchownSync(path, BUILDER, BUILDER);
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true }))
    lchownSync(join(entry.parentPath, entry.name), BUILDER, BUILDER);
}
