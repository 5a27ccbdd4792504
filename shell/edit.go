package shell

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/reeflective/readline"

	"wreg/query"
)

// editor gives what edits a line on the terminal.
func (s *Shell) editor() (func() (string, error), error) {
	rl := readline.NewShell()
	for name, value := range map[string]any{
		"autocomplete":                 true, // while typing
		"history-autosuggest":          false,
		"completion-ignore-case":       true,
		"menu-complete-display-prefix": true,
	} {
		if err := rl.Config.Set(name, value); err != nil {
			return nil, err
		}
	}
	for _, keys := range []string{"emacs", "emacs-standard", "vi-insert"} { // complete would hide what is offered next
		if err := rl.Config.Bind(keys, "\t", "menu-complete", false); err != nil {
			return nil, err
		}
	}
	rl.Prompt.Primary(s.prompt)
	rl.Completer = func(line []rune, cursor int) readline.Completions {
		text := string(line[:cursor])
		if at := strings.LastIndexByte(text, ' ') + 1; len(text[at:]) != utf8.RuneCountInString(text[at:]) {
			return readline.Completions{} // the editor counts bytes there
		}
		return completions(text, s.complete(context.Background(), text))
	}
	if s.Colours {
		rl.SyntaxHighlighter = func(line []rune) string { return s.paint(string(line)) }
	}
	if s.History != "" {
		h, err := openHistory(s.History)
		if err != nil {
			s.Say("the history is not read: %v", err)
		}
		rl.History.Delete()
		rl.History.Add("history", h)
	}
	return func() (string, error) {
		for {
			line, err := rl.Readline()
			if errors.Is(err, readline.ErrInterrupt) {
				continue
			}
			return line, err
		}
	}, nil
}

func (s *Shell) prompt() string {
	name := "wreg"
	if showable(s.Model) {
		name = s.Model
	}
	return name + "> "
}

// completions are candidates for the last word of text, as the editor wants them: the value
// goes in place of what lies behind the last space, and is shown from its last sign on.
func completions(text string, list []query.Candidate) readline.Completions {
	at := strings.LastIndexByte(text, ' ') + 1
	common := text
	for _, c := range list {
		for !strings.HasPrefix(c.Text, common) {
			common = common[:len(common)-1]
		}
	}
	shown := strings.LastIndexAny(common, " ,(<>=!+-/%~[") + 1
	var values []readline.Completion
	for _, c := range list {
		values = append(values, readline.Completion{Value: c.Text[at:], Display: c.Text[max(at, min(shown, len(c.Text))):], Description: c.About, Tag: ""})
	}
	out := readline.CompleteRaw(values).DisplayList()
	out.PREFIX = text[at:]
	return out
}

// colours of the parts of a query; red underlined is wrong.
var colours = map[query.Part]string{query.Keyword: "\x1b[1m", query.Literal: "\x1b[32m", query.Name: "\x1b[36m", query.Wrong: "\x1b[4;31m"}

const plain = "\x1b[0m"

// paint shows a line in colours. A command is none that a query could be wrong in.
func (s *Shell) paint(line string) string {
	first, _, _ := strings.Cut(line, " ")
	if strings.HasPrefix(line, ".") || !utf8.ValidString(line) || slices.ContainsFunc(s.Commands, func(c query.Word) bool { return c.Name == first }) {
		return line
	}
	var b strings.Builder
	at := 0
	for _, sp := range query.Spans(line) {
		if sp.From < at || sp.To > len(line) {
			continue
		}
		b.WriteString(line[at:sp.From] + colours[sp.Part] + line[sp.From:sp.To] + plain)
		at = sp.To
	}
	b.WriteString(line[at:])
	return b.String()
}
