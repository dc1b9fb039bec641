// A registry over an image layout, as much of it as verifying takes: manifests by digest or tag, blobs, referrers (OCI
// distribution specification 1.1). Listens on a free port of the loopback; read-only.
import { existsSync, readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { join } from "node:path";
import { hashOf } from "../../image/inputs/cache.ts";
import type { Descriptor } from "./image-content.ts";

export interface TestRegistry extends AsyncDisposable {
  /** HOST:PORT/NAME, to which `:TAG` or `@DIGEST` is added. */
  readonly repository: string;
}

const INDEX = "application/vnd.oci.image.index.v1+json";

export async function startRegistry(layout: string): Promise<TestRegistry> {
  const readBlob = (digest: string): Buffer | undefined => {
    const path = join(layout, "blobs", digest.replace(":", "/"));
    return /^sha256:[0-9a-f]{64}$/.test(digest) && existsSync(path) ? readFileSync(path) : undefined;
  };
  const listed = (): Descriptor[] => JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests;

  const server = createServer((request, response) => {
    const [, kind = "", reference = ""] =
      /^\/v2\/app\/(manifests|blobs|referrers)\/([^?]+)/.exec(request.url ?? "") ?? [];
    if (request.url === "/v2/") answer(response, Buffer.from("{}"), "application/json", request.method);
    else if (kind === "referrers") {
      const manifests = listed().filter(({ digest }) => subjectOf(readBlob(digest)) === reference);
      const index = { schemaVersion: 2, mediaType: INDEX, manifests };
      answer(response, Buffer.from(JSON.stringify(index)), INDEX, request.method);
    } else if (kind === "manifests") {
      const tagged = listed().find(
        ({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === reference,
      );
      const content = readBlob(tagged?.digest ?? reference);
      const mediaType = content === undefined ? "" : String(JSON.parse(content.toString()).mediaType);
      answer(response, content, mediaType, request.method);
    } else answer(response, readBlob(reference), "application/octet-stream", request.method);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Cannot start a registry: no address");
  return {
    repository: `127.0.0.1:${address.port}/app`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function subjectOf(content: Buffer | undefined): string | undefined {
  return content === undefined ? undefined : JSON.parse(content.toString()).subject?.digest;
}

function answer(
  response: ServerResponse,
  content: Buffer | undefined,
  mediaType: string,
  method: string | undefined,
): void {
  if (content === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    "Content-Type": mediaType,
    "Content-Length": content.length,
    "Docker-Content-Digest": `sha256:${hashOf(content)}`,
  });
  response.end(method === "HEAD" ? undefined : content);
}
