import assert from "node:assert/strict";
import { test } from "node:test";
import { readTar } from "../../image/archive/read-tar.ts";
import { renderTar } from "../node/tar.ts";
import { renameImage } from "./agent-image.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const INDEX = {
  manifests: [
    {
      digest: "sha256:1",
      annotations: { "io.containerd.image.name": "old:1", "org.opencontainers.image.ref.name": "1" },
    },
  ],
};

test("renameImage() changes the image's name for containerd and for docker, and no content", () => {
  const archive = renderTar([
    { path: "blobs/sha256/1", content: bytes('{"RepoTags":["old:1"]}') },
    { path: "index.json", content: bytes(JSON.stringify(INDEX)) },
    { path: "manifest.json", content: bytes('[{"Config":"blobs/sha256/1","RepoTags":["old:1"],"Layers":[]}]') },
  ]);
  const files = new Map(
    readTar(renameImage(archive, "localhost/new:2")).map(({ path, content }) => [
      path,
      new TextDecoder().decode(content),
    ]),
  );
  assert.equal(files.get("blobs/sha256/1"), '{"RepoTags":["old:1"]}');
  assert.equal(files.get("index.json"), JSON.stringify(INDEX).replace("old:1", "localhost/new:2"));
  assert.equal(files.get("manifest.json"), '[{"Config":"blobs/sha256/1","RepoTags":["localhost/new:2"],"Layers":[]}]');
});

test("renameImage() refuses an archive that make images did not leave", () => {
  const archive = renderTar([{ path: "manifest.json", content: bytes("[]") }]);
  assert.throws(() => renameImage(archive, "a:1"), /Cannot rename the image: the archive has no index\.json/);
});
