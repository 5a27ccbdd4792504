package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/shell"
)

// shellVerbs are the commands that can be typed in the shell: they only read.
var shellVerbs = []string{"ls", "show", "coverage", "stats", "diff", "explain", "lint", "arch", "check"}

func shellCommand(a *app) *cobra.Command {
	var model string
	c := &cobra.Command{
		Use:   "shell",
		Short: "ask queries one after the other, with completion",
		Long: `Reads queries and answers them. On a terminal, lines complete while they are
typed, with what each word means; TAB takes one. ^C ends the query that runs, ^D
leaves. What was typed is kept beside the registry, readable by you only. .help
lists the commands of the shell: .use MODEL, .format NAME, .export FILE and so on.
The registry is open only while a query runs. Elsewhere lines are read from
stdin: one that fails, or is longer than 1 MiB, is told with its number, and the
others are answered.`,
		Example: `  wreg shell
  wreg shell -m hunyuan
  wreg shell < queries.txt`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.shell((&queryOptions{model: model}).asked())
			if err != nil {
				return err
			}
			if f := fileOf(a.in); f != nil && s.Edit { // a signal ends it while a line is edited, too
				if was, err := term.GetState(int(f.Fd())); err == nil {
					defer term.Restore(int(f.Fd()), was)
				}
			}
			return s.Run(c.Context())
		},
	}
	c.Flags().StringVarP(&model, "model", "m", "", "`MODEL` to ask when a query has no in clause (default $WREG_MODEL)")
	must(c.RegisterFlagCompletionFunc("model", a.completeModels))
	return describe(c, "0 left, 2 trouble (a line from stdin failed; the others were answered)")
}

// shell is a conversation on this terminal, or with what is piped in.
func (a *app) shell(model string) (*shell.Shell, error) {
	path, err := a.registryPath()
	if err != nil {
		return nil, err
	}
	if a.registry == "" {
		a.registry = path // what the commands below open, wherever they run
	}
	s := &shell.Shell{
		Settings: shell.Settings{Model: model, Format: a.format},
		In:       a.in, Out: a.out, Err: a.err,
		Edit:    isTerminal(a.in) && isTerminal(a.out) && isTerminal(a.err) && os.Getenv("TERM") != "dumb",
		Colours: colourful(a.out),
		History: historyFile(),
		Tell:    func(err error) { tell(a.err, errorText(err)) },
		Say:     a.say,
		Ask:     a.askShell,
		Command: a.commandOfShell,
		View: func(fn func(*registry.Snapshot) error) error {
			return a.read(func(_ *registry.Registry, s *registry.Snapshot) error { return fn(s) })
		},
		Glance: a.glances(time.Now),
	}
	if s.Edit {
		s.Keys = a.keys
	}
	if a.json {
		s.Format = "json"
	}
	for _, f := range formatTable {
		s.Formats = append(s.Formats, query.Word{Name: f.name, About: f.about})
	}
	for _, sub := range (&app{}).root().Commands() { // making flags sets what they are bound to
		if slices.Contains(shellVerbs, sub.Name()) {
			s.Commands = append(s.Commands, query.Word{Name: sub.Name(), About: sub.Short})
		}
	}
	n, _, err := a.newest()
	if err != nil {
		return nil, err
	}
	s.Begin = fmt.Sprintf("wreg %s · %s · .help for help, .quit to leave", version, tensor.Count(n, "model"))
	return s, nil
}

// newest is how many models there are, and the one that was registered last; nil without
// a registry, which is no error.
func (a *app) newest() (n int, newest *registry.Revision, err error) {
	path, err := a.registryPath()
	if err != nil || !exists(path) {
		return 0, nil, err
	}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		models, err := s.Models()
		n = len(models)
		if n > 0 {
			newest = slices.MaxFunc(models, func(x, y *registry.Revision) int { return x.Created.Compare(y.Created) })
		}
		return err
	})
	return n, newest, err
}

// begin is what wreg alone says on a terminal: where things stand, and what to type next.
func (a *app) begin() error {
	n, newest, err := a.newest()
	if err != nil {
		return err
	}
	path, err := a.registryPath()
	if err != nil {
		return err
	}
	head := fmt.Sprintf("wreg %s · no model yet; %s will have them", version, path)
	next := topicSection{heads: []string{"command", "about"}, rows: [][]string{
		{"wreg demo", "the main job on a small checkpoint, in seconds"},
		{"wreg ingest PATH", "read a checkpoint: its folder, a file, or ORG/NAME in the cache of hf"},
		{"wreg help query", "the language of queries"},
	}}
	if n > 0 {
		ref := shellLine([]string{newest.Ref()})
		head = fmt.Sprintf("wreg %s · %s in %s", version, tensor.Count(n, "model"), path)
		next.rows = [][]string{
			{"wreg ls", "all models"},
			{"wreg show " + ref, "the newest"},
			{"wreg query " + shellLine([]string{"find * order by bytes desc limit 10"}) + " -m " + ref, "its largest tensors"},
			{"wreg shell", "ask it more, with completion"},
		}
	}
	var b strings.Builder
	next.lines(&b, helpWidth(a.out))
	_, err = fmt.Fprintf(a.out, "%s\n\n%s\nwreg --help lists every command.\n", strings.Join(breakLine(escapeLine(head), helpWidth(a.out), 2), "\n"), b.String())
	return err
}

// glances is glance for each key that is typed: a registry that was busy is left alone for
// a while.
func (a *app) glances(now func() time.Time) func(fn func(*registry.Snapshot) error) error {
	var busy error
	var until time.Time
	return func(fn func(*registry.Snapshot) error) error {
		if now().Before(until) {
			return busy
		}
		opened := false
		err := a.glance(func(s *registry.Snapshot) error {
			opened = true
			return fn(s)
		})
		if err != nil && !opened {
			busy, until = err, now().Add(10*patience)
		}
		return err
	}
}

// within is a with another output and format.
func (a *app) within(s shell.Settings, out io.Writer) *app {
	b := *a
	b.out, b.format, b.json = out, s.Format, false
	return &b
}

// askShell answers a query of the shell.
func (a *app) askShell(ctx context.Context, text string, s shell.Settings, out io.Writer) (answer shell.Answer, err error) {
	o := queryOptions{model: s.Model, expand: s.Expand, answered: func(rows int, wider string, found int) {
		answer = shell.Answer{Rows: rows, Wider: wider, Found: found}
	}}
	err = a.within(s, out).query(ctx, text, o)
	if which, ok := errors.AsType[*query.WhichError](err); ok {
		err = fmt.Errorf("%w; .use %s is the newest", err, which.Newest)
	}
	return answer, err
}

// commandOfShell runs a command of wreg that was typed in the shell.
func (a *app) commandOfShell(ctx context.Context, words []string, s shell.Settings) error {
	args := append(slices.Clone(words), "--registry", a.registry, "--format", s.Format)
	if a.quiet {
		args = append(args, "--quiet")
	}
	if a.noPager {
		args = append(args, "--no-pager")
	}
	err := (&app{in: a.in, out: a.out, err: a.err}).execute(ctx, args)
	if errors.Is(err, errFindings) {
		return nil
	}
	return err
}

// historyFile is where the shell keeps what was typed: in the folder of data, whichever
// registry is asked. "" where there is no such folder and none can be made.
func historyFile() string {
	data, err := dataFolder()
	if err != nil || os.MkdirAll(data, 0o700) != nil {
		return ""
	}
	return filepath.Join(data, "history")
}
