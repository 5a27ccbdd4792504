package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completionScript is one shell's script: what writes it, and what is changed in
// it. Cobra's scripts eval the words of the command line, and these may hold the
// names of files and models: $(…) in one would run.
type completionScript struct {
	write func(root *cobra.Command, w io.Writer, describe bool) error
	edits []scriptEdit
}

// scriptEdit replaces a text that must be there once.
type scriptEdit struct{ from, to string }

// quotedWords is the variable by which a script says that words are as they were
// typed, quotes and all.
const quotedWords = "WREG_QUOTED_WORDS"

var completionScripts = map[string]completionScript{
	"bash": {(*cobra.Command).GenBashCompletionV2, []scriptEdit{{
		"    # Use eval to handle any environment variables and such\n    out=$(eval \"${requestComp}\" 2>/dev/null)\n",
		"    # The words are handed over as they were typed: nothing in them is run.\n" +
			"    out=$(" + quotedWords + `=1 "${words[0]/#\~\//$HOME/}" COMPLETE "${args[@]}" 2>/dev/null)` + "\n",
	}, {
		"    COMPREPLY=()\n    _get_comp_words_by_ref \"$@\" cur prev words cword\n}\n", bashWords,
	}, {
		"    __wreg_get_completion_results\n    __wreg_process_completion_results\n", bashQuoted,
	}, {
		"    __wreg_handle_special_char \"$cur\" =\n", "    __wreg_handle_special_char \"$cur\" =\n" +
			"    if [[ ${cur} == *@* && ${COMP_WORDBREAKS} == *@* ]]; then # a word begins with its @\n" +
			"        COMPREPLY=(\"${COMPREPLY[@]#\"${cur%@*}\"}\")\n    fi\n",
	}}},
	"zsh": {zshCompletion, []scriptEdit{{
		"    # Use eval to handle any environment variables and such\n    out=$(eval ${requestComp} 2>/dev/null)\n",
		`    # (z) parts words, which are handed over as they were typed: nothing in them is run.
    local line="${words[2,-1]}"
    local -a args
    args=("${(@z)line}")
    if [ -z "${line}" ]; then args=(); fi
    if [[ "${typed}" == [\'\"]* ]]; then args[-1]="${typed}" # with the spaces at its end
    elif [ "${lastChar}" = "" ]; then args+=(""); fi
    out=$(` + quotedWords + `=1 "${${(Q)words[1]}/#\~\//$HOME/}" COMPLETE "${args[@]}" 2>/dev/null)
`}, {
		"    words=(\"${=words[1,CURRENT]}\")\n", "    local typed=\"${words[CURRENT]}\"\n    words=(\"${=words[1,CURRENT]}\")\n",
	}, {
		`flagPrefix="-P ${BASH_REMATCH}"`, `flagPrefix="-P ${(q)BASH_REMATCH}"`, // for the eval of _describe
	}}},
	"fish": {(*cobra.Command).GenFishCompletion, []scriptEdit{{
		"    # Extract the last arg and escape it in case it is a space\n    set -l lastArg (string escape -- (commandline -ct))\n",
		"    # Extract the last arg\n    set -l lastArg (commandline -ct)\n",
	}, {
		`set -l requestComp "WREG_ACTIVE_HELP=0 $args[1] COMPLETE $args[2..-1] $lastArg"`,
		`set -l requestComp WREG_ACTIVE_HELP=0 ` + quotedWords + `=last (string replace -r '^~/' "$HOME/" -- $args[1]) COMPLETE $args[2..-1] "$lastArg"`,
	}, {
		"set -l results (eval $requestComp 2> /dev/null)", "set -l results (env $requestComp 2> /dev/null)",
	}, {
		"set -l prefix (commandline -t | string escape --style=regex)",
		`set -l prefix (commandline -t | string replace -r '^[\'"]' '' | string escape --style=regex)`,
	}}},
	"powershell": {powershellCompletion, []scriptEdit{{
		"    Invoke-Expression -OutVariable out \"$RequestComp\" 2>&1 | Out-Null\n",
		"    # What PowerShell would run in the words is not completed.\n" +
			"    if (\"$Program $Arguments\" -match '[$`;|&(){}<>@\\r\\n]') { return }\n" +
			"    Invoke-Expression -OutVariable out \"$RequestComp\" 2>&1 | Out-Null\n",
	}}},
}

// bashWords splits the line where the package bash-completion is not there to do it: what
// bash parted at = : @ is one word again.
const bashWords = `    COMPREPLY=()
    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    local i word line=${COMP_LINE:0:COMP_POINT}
    words=()
    cword=-1
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${i} == 0 || ${line} == [[:space:]]* ]]; then
            line=${line#"${line%%[![:space:]]*}"}
            words+=("")
            ((++cword))
        fi
        ((${#word} > ${#line})) && word=${line}
        words[cword]+=${word}
        line=${line#"${word}"}
    done
    cur=${words[cword]}
    prev=${words[cword > 0 ? cword - 1 : 0]}
}

# Within quotes bash completes what follows the quote, and would close it behind the only
# candidate: that is offered twice, once with what it means.
__wreg_complete_quoted()
{
    local line longest=0 tab=$'\t' begun=${cur:1}
    compopt -o nospace
    while IFS='' read -r line; do
        [[ -n ${line} && ${line%%$tab*} == "${begun}"* ]] || continue
        COMPREPLY+=("${line}")
        line=${line%%$tab*}
        ((${#line} > longest)) && longest=${#line}
    done <<<"${out}"
    if ((${#COMPREPLY[*]} == 1)); then
        [[ ${COMPREPLY[0]} == *$tab* ]] || COMPREPLY[0]+="$tab…"
        COMPREPLY+=("${COMPREPLY[0]%%$tab*}")
    fi
    __wreg_format_comp_descriptions "${longest}"
}
`

// bashQuoted has words with an open quote completed apart.
const bashQuoted = `    __wreg_get_completion_results
    if [[ ${cur} == [\'\"]* && -n ${COMP_TYPE-} ]]; then
        __wreg_complete_quoted
    else
        __wreg_process_completion_results
    fi
`

func zshCompletion(root *cobra.Command, w io.Writer, describe bool) error {
	if describe {
		return root.GenZshCompletion(w)
	}
	return root.GenZshCompletionNoDesc(w)
}

func powershellCompletion(root *cobra.Command, w io.Writer, describe bool) error {
	if describe {
		return root.GenPowerShellCompletionWithDesc(w)
	}
	return root.GenPowerShellCompletion(w)
}

// safeCompletions makes cobra's completion command, already below root, write
// scripts that eval no words.
func safeCompletions(root *cobra.Command) {
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "completion" })
	root.Commands()[i].Short = "print a script that completes commands, models and queries in a shell"
	for _, c := range root.Commands()[i].Commands() {
		script := completionScripts[c.Name()]
		c.RunE = func(c *cobra.Command, _ []string) error {
			plain, err := c.Flags().GetBool("no-descriptions")
			if err != nil {
				return err
			}
			return script.print(c.Root(), c.OutOrStdout(), !plain)
		}
	}
}

// print writes the script; one that cannot be made safe is not written.
func (s completionScript) print(root *cobra.Command, w io.Writer, describe bool) error {
	var b bytes.Buffer
	if s.write == nil {
		return fmt.Errorf("no completion script for this shell")
	}
	if err := s.write(root, &b, describe); err != nil {
		return err
	}
	command := cobra.ShellCompRequestCmd
	if !describe {
		command = cobra.ShellCompNoDescRequestCmd
	}
	text := b.String()
	for _, e := range s.edits {
		from, to := strings.ReplaceAll(e.from, "COMPLETE", command), strings.ReplaceAll(e.to, "COMPLETE", command)
		if n := strings.Count(text, from); n != 1 {
			return fmt.Errorf("the completion script is not as it was: %q is in it %d times, and must be once, to be made safe", from, n)
		}
		text = strings.Replace(text, from, to, 1)
	}
	_, err := io.WriteString(w, text)
	return err
}

// unquoted takes away, as a shell does, the quotes of the words that a script
// hands over as they were typed.
func unquoted(args []string) []string {
	typed := os.Getenv(quotedWords)
	if len(args) == 0 || args[0] != cobra.ShellCompRequestCmd && args[0] != cobra.ShellCompNoDescRequestCmd || typed == "" {
		return args
	}
	words := slices.Clone(args)
	for i, w := range words[1:] {
		if typed != "last" || i+2 == len(words) { // fish unquotes those before
			words[i+1] = unquote(w)
		}
	}
	return words
}

// unquote is one word without its quotes; a quote may still be open.
func unquote(word string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '\\' && quote != '\'' && i+1 < len(word) && (quote == 0 || strings.IndexByte("$`\"\\", word[i+1]) >= 0):
			i++
			b.WriteByte(word[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
