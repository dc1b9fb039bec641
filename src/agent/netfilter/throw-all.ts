// The end of work that goes on whatever fails, so that a retry has less to do and not more (D12, D13).
import { messageOf } from "../../core/error-message.ts";

/** Throws what went wrong, all of it in one error where it is more. */
export function throwAll(failures: readonly unknown[], action: string): void {
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1)
    throw new AggregateError(failures, `Cannot ${action}: ${failures.map(messageOf).join("; ")}`);
}
