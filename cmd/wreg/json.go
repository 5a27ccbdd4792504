package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/export"
	"wreg/ingest/remote"
)

// prose is an annotation of the verbs that print text for people or a shell, and nothing
// else. They refuse the formats of data, as groups of verbs do.
const prose = "prose"

// dataFormat is the format of data that was asked for, "" where none was: what is printed
// then is for people.
func (a *app) dataFormat() string {
	switch {
	case a.json:
		return "json"
	case a.format == "auto" || a.format == "table":
		return ""
	}
	return a.format
}

// speaks refuses a format that a verb would not print in, before anything is done.
func (a *app) speaks(c *cobra.Command, args []string) error {
	verb := strings.TrimPrefix(c.CommandPath(), "wreg ")
	format := a.dataFormat()
	text := c.Annotations[prose] != ""
	if verb == "help" { // its topics are tables
		_, topic := topicNamed(strings.Join(args, " "))
		text = !topic
	}
	if format != "" && (text || c.HasSubCommands() || c.HasParent() && c.Parent().Name() == "completion") {
		flag := "--format " + format
		if a.json {
			flag = "--json"
		}
		if c.HasSubCommands() {
			return fmt.Errorf("%s: which command? see %s --help", flag, c.CommandPath())
		}
		return fmt.Errorf("%s: wreg %s prints text for people or a shell; leave it out", flag, verb)
	}
	return finds(verb, format)
}

// done prints, for programs, what a verb did. People were told in a sentence.
func (a *app) done(o object) error {
	if format := a.dataFormat(); format == "" || format == "md" {
		return nil
	}
	return a.printObject(o)
}

// status tells what a command line ended with, and gives its exit status. Under --json an
// error is one line of JSON: the last of stderr.
func (a *app) status(ctx context.Context, err error) int {
	text, exit := "", exitTrouble
	if _, ok := errors.AsType[*remote.DigestError](err); ok { // it was done, and something was found
		exit = exitFindings
	}
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errFindings):
		return exitFindings
	case ctx.Err() != nil:
		text = "interrupted; nothing was left half done"
		if kept, ok := errors.AsType[*export.KeptError](err); ok {
			text = "interrupted; " + kept.What()
		}
	default:
		text = errorText(err)
	}
	if format := a.dataFormat(); format == "json" || format == "ndjson" {
		must(writeJSON(a.err, append(object{{"error", text}, {"status", exit}}, refused(err)...), false))
	} else {
		tell(a.err, "wreg: "+text)
	}
	return exit
}

// refused are the gaps for which an export was, as a query for gaps lists them.
func refused(err error) object {
	e, ok := errors.AsType[*export.GapError](err)
	if !ok {
		return nil
	}
	rows := []any{}
	for _, g := range e.Gaps {
		row := object{{"path", g.Path}, {"status", g.Status}, {"expected_shape", nil}, {"shape", nil}, {"reason", g.Reason}, {"remedy", g.Remedy}}
		if g.Shape != nil {
			row[2].value = g.Shape
		}
		if g.Have != nil {
			row[3].value = g.Have.Shape
		}
		rows = append(rows, row)
	}
	return object{{"gaps", rows}}
}

// asksJSON finds --json in a command line that could not be parsed.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}
