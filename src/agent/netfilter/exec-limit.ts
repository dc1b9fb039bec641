// So many programs at once and no more, the others in the order they came: a hundred pods that start together on a node
// of iptables legacy must not become two hundred processes.
import type { ExecRequest, ExecResult } from "../../platform/exec/exec.ts";

/** `exec`, at most `max` at a time. A request's own deadline begins when its program does. */
export function limitExec(
  exec: (request: ExecRequest) => Promise<ExecResult>,
  max: number,
): (request: ExecRequest) => Promise<ExecResult> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (request) => {
    // Whoever ends hands its place on, so nobody who comes later can take it.
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await exec(request);
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
