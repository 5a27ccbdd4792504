package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every verb's help has an example, and ends with what its exit status means.
func TestEveryHelpHasExamplesAndStatuses(t *testing.T) {
	a := &app{out: io.Discard, err: io.Discard}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				walk(sub)
			}
		}
		if c.Short == "" || c.Short[0] >= 'A' && c.Short[0] <= 'Z' || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q: want lower case and no full stop", c.CommandPath(), c.Short)
		}
		if !strings.Contains(c.Example, "wreg") {
			t.Errorf("%s: help without an example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if !strings.HasPrefix(line, "  wreg ") {
				t.Errorf("%s: example %q does not start with two spaces and wreg", c.CommandPath(), line)
			}
		}
		if u := c.UsageString(); c.HasParent() && c.Runnable() && !strings.HasSuffix(strings.TrimSpace(lastLine(u)), c.Annotations["statuses"]) || c.HasParent() && c.Annotations["statuses"] == "" {
			t.Errorf("%s: help does not end with the exit statuses", c.CommandPath())
		}
	}
	root := a.root()
	root.InitDefaultCompletionCmd()
	walk(root)
}

// What wreg proposes for another program's word is a command, and no command has that word.
func TestOtherWords(t *testing.T) {
	root := (&app{}).root()
	for word, name := range otherWords {
		if c, _, err := root.Find([]string{name}); err != nil || c == root {
			t.Errorf("%s leads to %s, which is no command", word, name)
		}
		if c, _, err := root.Find([]string{word}); err == nil && c != root {
			t.Errorf("%s is a command of its own", word)
		}
	}
}
