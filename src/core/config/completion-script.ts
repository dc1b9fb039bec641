/**
 * Completion scripts for the four shells that cobra knows, made from the table of commands. They are static: pressing the tab
 * key starts no program, so they work on a machine that only talks to a cluster, too.
 */

import { AGENT_COMMAND, COMMANDS, type CommandFlag, type CommandSpec, type Shell } from "./commands.ts";

export interface CompletionOptions {
  /** What commands and flags are for, where the shell can show it. */
  readonly withDescriptions: boolean;
}

/** Ends with a line break. */
export function renderCompletion(shell: Shell, options: CompletionOptions): string {
  switch (shell) {
    case "bash":
      return renderBash();
    case "zsh":
      return renderZsh(options);
    case "fish":
      return renderFish(options);
    case "powershell":
      return renderPowershell(options);
  }
}

const HEAD = "completion for install-cni; made by: install-cni completion";

const COMMANDS_OF_ALL: readonly CommandSpec[] = [AGENT_COMMAND, ...COMMANDS];

/** Options that do nothing are accepted and not offered. */
function flagsOf({ flags, optionFlags }: CommandSpec): readonly CommandFlag[] {
  return [...flags, ...optionFlags];
}

function spellings({ name, short }: CommandFlag): readonly string[] {
  return [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
}

interface ValueFlag {
  readonly flag: CommandFlag;
  /** Names of the commands in which this is offered; undefined: the same in all that have the flag. */
  readonly commands: readonly string[] | undefined;
}

/** Flags whose value is the next word; one of which commands accept different words is there several times. */
function valueFlags(): readonly ValueFlag[] {
  const given = COMMANDS_OF_ALL.flatMap((spec) => flagsOf(spec).map((flag) => ({ flag, command: spec.name })));
  const byName = Map.groupBy(
    given.filter(({ flag }) => !flag.isSwitch),
    ({ flag }) => flag.name,
  );
  return [...byName.values()].flatMap((uses) => {
    const alike = [...Map.groupBy(uses, ({ flag }) => wordsOf(flag).join(" ")).values()];
    return alike.flatMap((same) => {
      const commands = alike.length === 1 ? undefined : same.map(({ command }) => command);
      return same.slice(0, 1).map(({ flag }) => ({ flag, commands }));
    });
  });
}

function valueSpellings(): readonly string[] {
  return [...new Set(valueFlags().flatMap(({ flag }) => spellings(flag)))];
}

function wordsOf({ completes }: CommandFlag): readonly string[] {
  return typeof completes === "object" ? completes : [];
}

/** Plain bash, without the functions of the package bash-completion. `=` is a word of its own for readline. */
function renderBash(): string {
  const words = COMMANDS.map(({ name }) => name);
  const cases = COMMANDS_OF_ALL.map((spec) => {
    const offered = flagsOf(spec).flatMap(({ name }) => `--${name}`);
    return `    ${bashPattern(spec.name)}) flags=${quoted(offered.join(" "))}; args=${quoted(spec.name === "help" ? words.join(" ") : (spec.argumentWords ?? []).join(" "))} ;;`;
  });
  const values = valueFlags().map(({ flag, commands = ["*"] }) => {
    const then =
      flag.completes === "file"
        ? 'COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null'
        : flag.completes === "directory"
          ? 'COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames 2>/dev/null'
          : `COMPREPLY=($(compgen -W ${quoted(wordsOf(flag).join(" "))} -- "$cur"))`;
    const patterns = commands.flatMap((command) => spellings(flag).map((name) => `${command}:${name}`));
    return `    ${patterns.join("|")}) ${then}; return ;;`;
  });
  return `# bash ${HEAD} bash
_install_cni() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev="" command="" flags args word i
  ((COMP_CWORD > 0)) && prev=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [[ $cur == = ]]; then
    cur=""
  elif [[ $prev == = ]] && ((COMP_CWORD > 1)); then
    prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
    ${valueSpellings().join("|")}) [[ \${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;
    -*|=) ;;
    *) command=$word; break ;;
    esac
  done
  case $command:$prev in
${values.join("\n")}
  esac
  case $command in
${cases.join("\n")}
    *) return ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$args" -- "$cur"))
  fi
}
complete -F _install_cni install-cni
`;
}

function bashPattern(name: string): string {
  return name === "" ? '""' : name;
}

function renderZsh({ withDescriptions }: CompletionOptions): string {
  const describe = (text: string): string => (withDescriptions ? text : "");
  const flagLines = (spec: CommandSpec): string[] =>
    flagsOf(spec).map((flag) => {
      const doc = describe(flag.doc).replaceAll(/[[\]:\\]/g, "\\$&");
      const names = spellings(flag);
      const exclusive = names.length > 1 ? `(${names.join(" ")})` : "";
      const how =
        typeof flag.completes === "object"
          ? `(${flag.completes.join(" ")})`
          : flag.completes === undefined
            ? " "
            : flag.completes === "file"
              ? "_files"
              : "_files -/";
      const value = flag.isSwitch ? "" : `:${flag.value ?? "value"}:${how}`;
      return names
        .map((name) => {
          const equals = flag.isSwitch || !name.startsWith("--") ? "" : "=";
          return quoted(`${exclusive}${name}${equals}${doc === "" ? "" : `[${doc}]`}${value}`);
        })
        .join(" ");
    });
  const names = COMMANDS.map(({ name, summary }) =>
    quoted(withDescriptions ? `${name}:${summary.replaceAll(":", "\\:")}` : name),
  );
  const cases = COMMANDS.map((spec) => {
    const words = spec.name === "help" ? COMMANDS.map(({ name }) => name) : spec.argumentWords;
    const argument = words === undefined ? [] : [quoted(`1:argument:(${words.join(" ")})`)];
    return `    ${spec.name}) _arguments ${[...flagLines(spec), ...argument].join(" ")} ;;`;
  });
  return `#compdef install-cni
# zsh ${HEAD} zsh
_install-cni() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands
  commands=(${names.join(" ")})
  _arguments -C ${flagLines(AGENT_COMMAND).join(" ")} '1:command:->command' '*::argument:->argument' && return
  case $state in
  command) _describe -t commands command commands ;;
  argument)
    case $line[1] in
${cases.join("\n")}
    esac ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _install-cni "$@"
else
  compdef _install-cni install-cni
fi
`;
}

function renderFish({ withDescriptions }: CompletionOptions): string {
  const describe = (text: string): string => (withDescriptions ? ` -d ${fishQuoted(text)}` : "");
  const names = COMMANDS.map(({ name }) => name).join(" ");
  const none = `not __fish_seen_subcommand_from ${names}`;
  const lines = COMMANDS.map(
    ({ name, summary }) => `complete -c install-cni -f -n ${fishQuoted(none)} -a ${name}${describe(summary)}`,
  );
  for (const spec of COMMANDS_OF_ALL) {
    const condition = fishQuoted(spec.name === "" ? none : `__fish_seen_subcommand_from ${spec.name}`);
    for (const flag of flagsOf(spec)) {
      const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
      const value = flag.isSwitch ? "" : flagValue(flag);
      lines.push(`complete -c install-cni -n ${condition}${short} -l ${flag.name}${value}${describe(flag.doc)}`);
    }
    const words = spec.name === "help" ? names : (spec.argumentWords ?? []).join(" ");
    if (spec.name !== "") {
      const offered = words === "" ? "" : ` -a ${fishQuoted(words)}`;
      lines.push(`complete -c install-cni -f -n ${condition}${offered}`);
    }
  }
  return `# fish ${HEAD} fish\n${lines.join("\n")}\n`;
}

function flagValue({ completes }: CommandFlag): string {
  if (typeof completes === "object") return ` -x -a ${fishQuoted(completes.join(" "))}`;
  return completes === undefined ? " -x" : " -r -F";
}

function renderPowershell({ withDescriptions }: CompletionOptions): string {
  const entry = (word: string, doc: string): string => {
    const tip = withDescriptions && doc !== "" ? doc : word;
    return `[CompletionResult]::new(${powershellQuoted(word)}, ${powershellQuoted(word)}, 'ParameterValue', ${powershellQuoted(tip)})`;
  };
  const cases = COMMANDS_OF_ALL.map((spec) => {
    const flags = flagsOf(spec).map((flag) => entry(`--${flag.name}`, flag.doc));
    const words =
      spec.name === "" || spec.name === "help"
        ? COMMANDS.map(({ name, summary }) => entry(name, summary))
        : (spec.argumentWords ?? []).map((word) => entry(word, ""));
    return `    ${powershellQuoted(spec.name)} { @(\n      ${[...words, ...flags].join("\n      ")}\n    ) }`;
  });
  const values = valueFlags()
    .filter(({ flag }) => wordsOf(flag).length > 0)
    .map(({ flag, commands }) => {
      const words = wordsOf(flag).map((word) => entry(word, ""));
      const where = commands === undefined ? "" : ` -and $command -cin ${commands.map(powershellQuoted).join(", ")}`;
      return `    { $_ -cin ${spellings(flag).map(powershellQuoted).join(", ")}${where} } { @(\n      ${words.join("\n      ")}\n    ) }`;
    });
  return `# powershell ${HEAD} powershell
using namespace System.Management.Automation
Register-ArgumentCompleter -Native -CommandName 'install-cni' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $takesValue = @(${valueSpellings().map(powershellQuoted).join(", ")})
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  $previous = if ($words.Count -gt 0) { $words[-1] } else { '' }
  $command = ''
  for ($i = 0; $i -lt $words.Count; $i++) {
    if ($takesValue -ccontains $words[$i]) { $i++ } elseif (-not $words[$i].StartsWith('-')) { $command = $words[$i]; break }
  }
  $completions = @(switch ($previous) {
${values.join("\n")}
  })
  if ($completions.Count -eq 0 -and $takesValue -cnotcontains $previous) {
    $completions = @(switch -CaseSensitive ($command) {
${cases.join("\n")}
    })
  }
  $completions | Where-Object { $_.CompletionText -like "$wordToComplete*" }
}
`;
}

/** For bash and zsh: a word in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
}

function powershellQuoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
