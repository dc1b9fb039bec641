// Who this process is.

/** Its real user id. */
export function ownUid(): number {
  return process.getuid?.() ?? 0;
}

/** Who may ask at the agent's sockets: root, and where the agent is another user, as in tests, that one. */
export function trustedUids(): readonly number[] {
  return [...new Set([0, ownUid()])];
}
