// The end of paths and URLs.

/** In linear time: an expression begins anew at each slash of a long row. */
export function withoutTrailingSlashes(path: string): string {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return path.slice(0, end);
}
