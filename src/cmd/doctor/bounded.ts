// Every look of doctor ends in time and never throws: what does not answer is a finding.
import type { Probed } from "../../core/doctor/node-facts.ts";
import { messageOf } from "../../core/error-message.ts";

/** The answer, or why there is none. What goes on behind a look that was given up is nobody's any more. */
export async function bounded<T>(timeoutMs: number, look: () => T | Promise<T>): Promise<Probed<T>> {
  const late = Promise.withResolvers<Probed<T>>();
  const timer = setTimeout(() => late.resolve({ unknown: `no answer within ${timeoutMs / 1000} s` }), timeoutMs);
  const looking = (async (): Promise<Probed<T>> => {
    try {
      return { value: await look() };
    } catch (error) {
      return { unknown: messageOf(error) };
    }
  })();
  try {
    return await Promise.race([looking, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
