package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/registry/tensor"
)

// plainUsage makes c and every command below it say in a sentence what is wrong with the
// number of words, and what to type instead; cobra's own sentences speak of "arg(s)".
func plainUsage(c *cobra.Command) {
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
	check := c.Args
	if check == nil || !c.Runnable() || c.HasSubCommands() {
		return
	}
	usage := c.CommandPath() + strings.TrimPrefix(c.Use, c.Name())
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		switch {
		case err == nil:
			return nil
		case len(args) == 0:
			return fmt.Errorf("%s is missing: %s; see %s --help", firstWord(c.Use), usage, c.CommandPath())
		case c.Annotations[oneText] != "":
			return fmt.Errorf("%s is one word, and %d were given: quote it, as in %s '%s'", firstWord(c.Use), len(args), c.CommandPath(), strings.Join(args, " "))
		case firstWord(c.Use) == "":
			return fmt.Errorf("%s takes no arguments, and %q was given; see %s --help", c.CommandPath(), args[0], c.CommandPath())
		}
		return fmt.Errorf("want %s, got %s; see %s --help", usage, tensor.Count(len(args), "argument"), c.CommandPath())
	}
}

// fitted makes lines of help as narrow as the terminal is. What a flag or a command is for
// goes on below where it began; a command to type stays whole.
func fitted(help func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(c *cobra.Command, args []string) {
		out := c.OutOrStdout()
		width := terminalWidth(out)
		if width == 0 {
			help(c, args)
			return
		}
		var b strings.Builder
		c.SetOut(&b)
		help(c, args)
		c.SetOut(out)
		for line := range strings.Lines(b.String()) {
			for _, l := range fitLine(strings.TrimSuffix(line, "\n"), width) {
				fmt.Fprintln(out, l)
			}
		}
	}
}

func fitLine(line string, width int) []string {
	text := strings.TrimLeft(line, " ")
	margin := len(line) - len(text)
	if columnsOf(line) <= width || margin > 0 && strings.HasPrefix(text, "wreg ") {
		return []string{line}
	}
	if at := strings.Index(text, "  "); at > 0 { // a name, and what it is
		margin += at + len(text[at:]) - len(strings.TrimLeft(text[at:], " "))
	}
	if head := line[:margin]; strings.TrimSpace(head) != "" {
		if width-margin >= leastText {
			lines := breakLine(line[margin:], width-margin, 0)
			for i := range lines {
				if i > 0 {
					head = strings.Repeat(" ", margin)
				}
				lines[i] = head + lines[i]
			}
			return lines
		}
		return append([]string{strings.TrimRight(head, " ")}, fitLine(strings.Repeat(" ", leastMargin)+line[margin:], width)...)
	}
	lines := breakLine(text, width-margin, 0)
	for i := range lines {
		lines[i] = line[:margin] + lines[i]
	}
	return lines
}

const leastMargin = 8 // of what has no room beside its name

// firstWord is what the command is about: MODEL in "show MODEL [TENSOR]".
func firstWord(use string) string {
	_, rest, _ := strings.Cut(use, " ")
	word, _, _ := strings.Cut(rest, " ")
	return strings.Trim(word, "[].")
}

// oneText and excluding are annotations: of a command whose one argument is a text with
// spaces, and of one whose flags exclude each other.
const (
	oneText   = "text"
	excluding = "excluding"
)

func annotate(c *cobra.Command, key, value string) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[key] += value
}

// exclude says that two flags of c cannot be given together.
func exclude(c *cobra.Command, a, b string) { annotate(c, excluding, a+" "+b+"\n") }

// excluded refuses flags that exclude each other.
func excluded(c *cobra.Command) error {
	for pair := range strings.Lines(c.Annotations[excluding]) {
		flags := strings.Fields(pair)
		if !slices.ContainsFunc(flags, func(name string) bool { return !c.Flags().Changed(name) }) {
			return fmt.Errorf("--%s and --%s exclude each other", flags[0], flags[1])
		}
	}
	return nil
}
