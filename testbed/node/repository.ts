// Where this checkout lies, for what must stay visible or writable inside the node.
import { resolve } from "node:path";

/** The root folder of the checkout, absolute. */
export const REPOSITORY = resolve(import.meta.dirname, "../..");
