// `install-cni help [COMMAND]` and `--help` of every command.
import { type CommandName, findCommand } from "../../core/config/commands.ts";
import { renderCommandHelp, renderHelp } from "../../core/config/help-text.ts";

/** Ends with a line break. */
export function helpOn(topic: CommandName | undefined): string {
  const spec = topic === undefined ? undefined : findCommand(topic);
  return spec === undefined ? renderHelp() : renderCommandHelp(spec);
}
