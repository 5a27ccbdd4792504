package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

// version is what --version says; tool is what revisions and receipts record.
const (
	version = "0.1.0"
	tool    = "wreg " + version
)

// The exit statuses of every verb, as diff and grep have them.
const (
	exitFine     = 0
	exitFindings = 1
	exitTrouble  = 2
)

// errFindings ends a verb that did its work and has something to report: exit 1.
// What was found is printed already.
var errFindings = errors.New("findings")

// app is what the verbs share: streams and global flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	registry string
	format   string
	json     bool
	quiet    bool
	noPager  bool
}

// run executes one command line and gives its exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends at once, whatever is waited for
	a := &app{in: in, out: out, err: errw}
	return a.status(ctx, a.execute(ctx, args))
}

// execute runs one command line.
func (a *app) execute(ctx context.Context, args []string) error {
	root := a.root()
	root.SetArgs(unquoted(args))
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	a.json = a.json || asksJSON(args)
	return err
}

func init() { cobra.EnableCommandSorting = false } // commands are listed as verbs has them

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "wreg",
		Short: "a registry of model weights with a query language",
		Long: `wreg answers one question about a model checkpoint before anything is loaded:
is every weight where its consumer will look for it, with the right shape,
dtype and bytes? It indexes checkpoints, finds gaps, and writes the checkpoint
that the consumer needs.`,
		Example: `  wreg demo
  wreg ingest ./hunyuan
  wreg query 'missing mlp.switch_mlp.* where layer<64'
  wreg export hunyuan --target mlx --out ./hunyuan-mlx`,
		Version:       builtFrom(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := c.PersistentFlags()
	f.StringVar(&a.registry, "registry", "", "registry `FILE` (default $WREG_REGISTRY, else wreg/registry.db in the folder of data: wreg help environment)")
	f.StringVar(&a.format, "format", "auto", "how to print: json, csv and others that wreg help formats lists; auto is a table on a terminal, else tsv")
	f.BoolVar(&a.json, "json", false, "short for --format json")
	f.BoolVar(&a.quiet, "quiet", false, "print errors only")
	f.BoolVar(&a.noPager, "no-pager", false, "print long answers on a terminal without $WREG_PAGER, $PAGER or less")
	c.PersistentPreRunE = func(c *cobra.Command, args []string) error { // before anything is done
		boundMemory()
		if err := excluded(c); err != nil {
			return err
		}
		if _, err := a.outputFormat(); err != nil {
			return err
		}
		if err := local(c, args); err != nil {
			return err
		}
		return a.speaks(c, args)
	}
	c.SetUsageTemplate(c.UsageTemplate() + "{{if not .HasParent}}" + topicList() + "{{end}}")
	c.SetHelpFunc(fitted(c.HelpFunc()))
	c.SetVersionTemplate("wreg {{.Version}}\n")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; %ssee %s --help", err, nearFlag(c, err), c.CommandPath())
	})
	must(c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(append([]string{"auto"}, formats...), cobra.ShellCompDirectiveNoFileComp)))
	c.AddGroup(&cobra.Group{ID: "main", Title: "The main job:"},
		&cobra.Group{ID: "registry", Title: "The registry:"},
		&cobra.Group{ID: "files", Title: "Files and architectures:"})
	all := verbs()
	for _, group := range c.Groups() {
		for _, command := range all[group.ID] {
			sub := command(a)
			sub.GroupID = group.ID
			if sub.Annotations["statuses"] == "" {
				describe(sub, statusPlain)
			}
			c.AddCommand(sub)
		}
	}
	c.SetHelpCommandGroupID("files")
	c.SetCompletionCommandGroupID("files")
	c.InitDefaultHelpCmd()
	c.InitDefaultCompletionCmd()
	safeCompletions(c)
	a.completions(c)
	a.groups(c)
	plainUsage(c)
	return c
}

// softMemory is where garbage is collected early: the largest checkpoint, of
// tensor.MaxTensors tensors, fits. Go's own variable goes before.
const softMemory = 400 << 20

func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
}

// unboundMemory is for what has buffers beside, as --memory and --jobs say: it
// would collect without end.
func unboundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
	}
}

// groups makes c and every command below it that only holds others refuse words
// that are none of them; alone they print their help.
func (a *app) groups(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Name() == "help" {
			a.helpCommand(sub)
		}
		a.groups(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.DisableFlagsInUseLine = true
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknown(c, args[0])
		}
		if !c.HasParent() && isTerminal(a.out) {
			return a.begin()
		}
		return c.Help()
	}
}

// helpCommand makes cobra's help command print pages of help, too: a topic goes before the
// verb of its name, whose own help is --help.
func (a *app) helpCommand(help *cobra.Command) {
	help.Short = "print help: on a command, queries, columns, environment variables"
	verbs := help.ValidArgsFunction
	help.ValidArgsFunction = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		list, directive := verbs(c, args, word)
		for _, t := range topics {
			if len(args) == 0 && strings.HasPrefix(t.name, word) {
				list = slices.DeleteFunc(list, func(l string) bool { return strings.HasPrefix(l, t.name+"\t") })
				list = append(list, cobra.CompletionWithDesc(t.name, t.short))
			}
		}
		return list, directive
	}
	help.Run = nil
	help.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			if t, ok := topicNamed(args[0]); ok {
				return a.showTopic(t)
			}
		}
		about, rest, err := c.Root().Find(args)
		switch {
		case err != nil:
			return err
		case len(rest) > 0 && about.HasSubCommands():
			return unknown(about, rest[0])
		}
		about.InitDefaultHelpFlag()
		about.InitDefaultVersionFlag()
		return about.Help()
	}
}

// otherWords is what other programs call a command of wreg, where no letters lead there.
var otherWords = map[string]string{
	"list": "ls", "models": "ls", "info": "show", "inspect": "show", "describe": "show",
	"import": "ingest", "add": "ingest", "load": "ingest", "scan": "ingest", "index": "ingest",
	"search": "query", "select": "query", "convert": "export", "compare": "diff",
	"remove": "rm", "delete": "rm", "serve": "ui", "upload": "push", "publish": "push",
}

// unknown refuses a word that is not a command below c. Cobra's own sentence has line
// breaks and tabs in it.
func unknown(c *cobra.Command, word string) error {
	hint := "see " + c.CommandPath() + " --help"
	c.SuggestionsMinimumDistance = 2
	near := c.SuggestionsFor(word)
	if !c.HasParent() {
		if slices.ContainsFunc(query.Language().Verbs, func(w query.Word) bool { return w.Name == word }) {
			return fmt.Errorf("%s is not a command but begins a query: wreg query '%s *'; wreg help query describes the language", word, word)
		}
		if name, ok := otherWords[word]; ok {
			near = []string{name}
		}
	}
	for _, t := range topics {
		if !c.HasParent() && len(near) == 0 && tensor.EditDistance(word, t.name) <= c.SuggestionsMinimumDistance {
			near = append(near, "help "+t.name)
		}
	}
	if len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
	}
	return fmt.Errorf("unknown command %q for %q; %s", word, c.CommandPath(), hint)
}

// verbs lists every verb by the group it is shown in.
func verbs() map[string][]func(*app) *cobra.Command {
	return map[string][]func(*app) *cobra.Command{
		"main": {demoCommand, ingestCommand, queryCommand, shellCommand, testCommand, exportCommand, verifyCommand, pushCommand, reportCommand},
		"registry": {lsCommand, showCommand, uiCommand, coverageCommand, statsCommand, diffCommand, explainCommand, rmCommand,
			checkCommand, backupCommand, compactCommand, gcCommand, mergeCommand},
		"files": {lintCommand, reindexCommand, synthCommand, archCommand, accelCommand, versionCommand, manCommand},
	}
}

// The endings of help texts: what the exit status means.
const (
	statusPlain    = "0 fine, 2 trouble (usage, unreadable input, internal)"
	statusFindings = "0 nothing to report, 1 findings, 2 trouble (usage, unreadable input, internal)"
)

// describe ends a verb's help with its exit statuses.
func describe(c *cobra.Command, statuses string) *cobra.Command {
	if c.Long == "" {
		c.Long = c.Short
	}
	annotate(c, "statuses", statuses)
	c.SetUsageTemplate(c.UsageTemplate() + "\nExit status: " + statuses + "\n")
	return c
}

var errNoPlace = errors.New("no place for the registry")

// registryPath is where the registry lies: the flag, the environment, the
// user's data folder, in this order.
func (a *app) registryPath() (string, error) {
	if a.registry != "" {
		return a.registry, nil
	}
	if p := os.Getenv("WREG_REGISTRY"); p != "" {
		return p, nil
	}
	data, err := dataFolder()
	if err != nil {
		return "", fmt.Errorf("%w: %w; give --registry FILE", errNoPlace, err)
	}
	return filepath.Join(data, "registry.db"), nil
}

// dataFolder is wreg's in the user's folder of data.
func dataFolder() (string, error) { return dataFolderOn(runtime.GOOS) }

func dataFolderOn(system string) (string, error) {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) && system == "windows" { // the specification says to ignore relative ones
		data = os.Getenv("LOCALAPPDATA")
	}
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "wreg"), nil
}

// read runs fn on a snapshot of the registry, shared with other readers.
func (a *app) read(fn func(r *registry.Registry, s *registry.Snapshot) error) error {
	return a.open(registry.Options{ReadOnly: true}, func(r *registry.Registry) error {
		return r.View(func(s *registry.Snapshot) error { return fn(r, s) })
	})
}

// patience is how long shell completion waits for a registry that is being written.
const patience = 200 * time.Millisecond

// glance is read for shell completion: the user is waiting.
func (a *app) glance(fn func(s *registry.Snapshot) error) error {
	return a.open(registry.Options{ReadOnly: true, Timeout: patience}, func(r *registry.Registry) error { return r.View(fn) })
}

// change runs fn on a registry that must exist.
func (a *app) change(fn func(*registry.Registry) error) error {
	path, err := a.registryPath()
	if err != nil {
		return err
	}
	if err := mustExist(path); err != nil {
		return err
	}
	return a.open(registry.Options{}, fn)
}

func mustExist(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: no registry there yet; wreg ingest PATH makes one", path)
	}
	return err
}

// open runs fn on the open registry. For reading, the file must exist.
func (a *app) open(o registry.Options, fn func(*registry.Registry) error) error {
	path, err := a.registryPath()
	if err != nil {
		return err
	}
	if o.ReadOnly {
		if err := mustExist(path); err != nil {
			return err
		}
	}
	r, err := registry.Open(path, o)
	if err != nil {
		return err
	}
	return errors.Join(fn(r), r.Close())
}

// say talks to a person: one line on stderr, never data.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		tell(a.err, escapeLine(fmt.Sprintf(format, args...)))
	}
}

// tell writes lines for a person: on a terminal they end between words, and go on indented.
// A query with a caret under it stays as it is.
func tell(w io.Writer, text string) {
	width := terminalWidth(w)
	lines := strings.Split(text, "\n")
	caret := func(i int) bool { return i < len(lines) && strings.TrimLeft(lines[i], " ") == "^" }
	for i, line := range lines {
		if width > 0 && !caret(i) && !caret(i+1) {
			body := strings.TrimLeft(line, " ")
			margin := line[:len(line)-len(body)]
			line = margin + strings.Join(breakLine(body, max(1, width-len(margin)), 2), "\n"+margin)
		}
		fmt.Fprintln(w, line)
	}
}

func isTerminal(w any) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// must is for calls that fail only when the program itself is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
