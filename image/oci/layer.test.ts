import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { readTar } from "../archive/read-tar.ts";
import { cacheFolder } from "../inputs/cache.ts";
import { TreeBuilder } from "../tree/file-tree.ts";
import { buildLayer } from "./layer.ts";

const folder = mkdtempSync(join(tmpdir(), "layers-"));
process.env["IMAGE_CACHE"] = folder;
after(() => rmSync(folder, { recursive: true, force: true }));

const tree = new TreeBuilder();
tree.file("etc/name", "content");

test("buildLayer() takes from its cache what it put there, and nothing else", async () => {
  const made = await buildLayer("a", tree.finish(), true);
  assert.deepEqual(
    readTar(gunzipSync(made.blob.content)).map(({ path }) => path),
    ["etc", "etc/name"],
  );
  const [name = ""] = readdirSync(cacheFolder("layers"));
  const cached = join(cacheFolder("layers"), name);

  // The same bytes, compressed otherwise: it can only come from the cache.
  const other = gzipSync(gunzipSync(made.blob.content), { level: 0 });
  writeFileSync(cached, other);
  assert.deepEqual(Buffer.from((await buildLayer("a", tree.finish(), true)).blob.content), other);

  for (const [what, content] of [
    ["nothing, as after a power cut", ""],
    ["the beginning of it", made.blob.content.subarray(0, 40)],
    ["another layer", gzipSync("another")],
    ["a far larger one", gzipSync(Buffer.alloc(64 * 1024 * 1024))],
  ] as const) {
    writeFileSync(cached, content);
    assert.equal((await buildLayer("a", tree.finish(), true)).blob.digest, made.blob.digest, what);
  }
  assert.deepEqual(readdirSync(cacheFolder("layers")), [name]);
});
