/**
 * What lies in the agent's run directory beside the plugin's state file (core/plugin-protocol/state-file.ts): one list for those
 * who make it and for who takes it away (docs/host-files.md).
 */

/** Where the plugin asks. */
export const PLUGIN_SOCKET = "plugin.sock";
/** Where people ask. */
export const ADMIN_SOCKET = "admin.sock";
/** Where upstream's plugin asks its agent, and where it logs; we serve them in that one's place. */
export const UPSTREAM_EVENT_SOCKET = "pluginevent.sock";
export const UPSTREAM_LOG_SOCKET = "log.sock";
/** The folder of what was decided on pods, one file for each (ADR 10). */
export const RECORDS_FOLDER = "pods";
/** While it is there an agent that runs puts nothing back; the next one to start removes it. */
export const UNINSTALLED_MARK = "uninstalled";
