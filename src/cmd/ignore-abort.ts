// Telling the end of the agent from a failure.

/** Waiting that ends because the agent ends is no failure. */
export function ignoreAbort(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error;
  };
}
