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
	}}},
	"zsh": {zshCompletion, []scriptEdit{{
		"    # Use eval to handle any environment variables and such\n    out=$(eval ${requestComp} 2>/dev/null)\n",
		`    # (z) parts words and (Q) unquotes them: nothing in them is run.
    local line="${words[2,-1]}"
    local -a args
    args=("${(@Q)${(@z)line}}")
    if [ -z "${line}" ]; then args=(); fi
    if [ "${lastChar}" = "" ]; then args+=(""); fi
    out=$("${${(Q)words[1]}/#\~\//$HOME/}" COMPLETE "${args[@]}" 2>/dev/null)
`}, {
		`flagPrefix="-P ${BASH_REMATCH}"`, `flagPrefix="-P ${(q)BASH_REMATCH}"`, // for the eval of _describe
	}}},
	"fish": {(*cobra.Command).GenFishCompletion, []scriptEdit{{
		"    # Extract the last arg and escape it in case it is a space\n    set -l lastArg (string escape -- (commandline -ct))\n",
		"    # Extract the last arg\n    set -l lastArg (commandline -ct)\n",
	}, {
		`set -l requestComp "WREG_ACTIVE_HELP=0 $args[1] COMPLETE $args[2..-1] $lastArg"`,
		`set -l requestComp WREG_ACTIVE_HELP=0 (string replace -r '^~/' "$HOME/" -- $args[1]) COMPLETE $args[2..-1] "$lastArg"`,
	}, {
		"set -l results (eval $requestComp 2> /dev/null)", "set -l results (env $requestComp 2> /dev/null)",
	}}},
	"powershell": {powershellCompletion, []scriptEdit{{
		"    Invoke-Expression -OutVariable out \"$RequestComp\" 2>&1 | Out-Null\n",
		"    # What PowerShell would run in the words is not completed.\n" +
			"    if (\"$Program $Arguments\" -match '[$`;|&(){}<>@\\r\\n]') { return }\n" +
			"    Invoke-Expression -OutVariable out \"$RequestComp\" 2>&1 | Out-Null\n",
	}}},
}

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
	if len(args) == 0 || args[0] != cobra.ShellCompRequestCmd && args[0] != cobra.ShellCompNoDescRequestCmd || os.Getenv(quotedWords) == "" {
		return args
	}
	words := slices.Clone(args)
	for i, w := range words[1:] {
		words[i+1] = unquote(w)
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
