// Writes the last section of ARCHITECTURE.md. Usage: tools/node tools/render-source-index.ts
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listTree } from "./list-tree.ts";
import { replaceSourceIndex } from "./source-index.ts";

const page = join(import.meta.dirname, "../ARCHITECTURE.md");
writeFileSync(page, replaceSourceIndex(readFileSync(page, "utf8"), listTree()));
