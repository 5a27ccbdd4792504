package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wreg/registry/tensor"
)

// demoStep is one command of the demo: what is said before it, its words, and
// the exit status that it must end with.
type demoStep struct {
	say  string
	args []string
	want int
}

// mainSteps is the main job on a small checkpoint: a lost expert is found, the
// export refuses, the expert is brought back, the export is proven. DIR stands
// for the temporary folder; a step without words only speaks.
var mainSteps = []demoStep{
	{"A HunYuan-like checkpoint, 4 layers of 4 experts. On its way here one expert was lost.",
		[]string{"synth", "--arch", "hunyuan", "--out", "DIR/hunyuan", "--without", "layers.3.mlp.experts.2.up_proj.weight"}, exitFine},
	{"", []string{"ingest", "DIR/hunyuan"}, exitFine},
	{"MLX wants the experts of a layer stacked in one tensor. None is, and one cannot be:",
		[]string{"query", "missing mlp.switch_mlp.* where layer<64"}, exitFine},
	{"What the checkpoint itself should hold and does not:",
		[]string{"query", "missing experts.*.up_proj.weight"}, exitFine},
	{"An export of it is refused before anything is written:",
		[]string{"export", "hunyuan", "--target", "mlx", "--out", "DIR/hunyuan-mlx"}, exitTrouble},
	{"The lost expert is fetched again.",
		[]string{"synth", "--arch", "hunyuan", "--out", "DIR/fetched/hunyuan"}, exitFine},
	{"", []string{"ingest", "DIR/fetched/hunyuan"}, exitFine},
	{"Now the export stacks every expert, reads back what it wrote, and leaves a receipt:",
		[]string{"export", "hunyuan", "--target", "mlx", "--out", "DIR/hunyuan-mlx"}, exitFine},
	{"Nothing was lost: compared by content, expert by expert, there is no gap.",
		[]string{"query", "gaps in hunyuan-mlx against hunyuan", "--exit-code"}, exitFine},
	{"", []string{"verify", "hunyuan-mlx"}, exitFine},
}

func demoCommand(a *app) *cobra.Command {
	var keep, remote bool
	c := &cobra.Command{
		Annotations: map[string]string{prose: "yes"},

		Use:   "demo",
		Short: "show the main job on a small checkpoint, in seconds",
		Long: `Makes a small HunYuan-like checkpoint with a lost expert in a temporary folder,
shows the gap, mends it, exports to MLX and verifies the result. The folder is
removed at the end, and so is the registry in it; yours is not touched.
--remote finds such a gap on a hub, which it starts on this machine, from
headers alone.`,
		Example: `  wreg demo
  wreg demo --remote
  wreg demo --keep`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), keep, remote) },
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the temporary folder")
	c.Flags().BoolVar(&remote, "remote", false, "the model lies on a hub, and is not downloaded")
	return c
}

// temporary makes a folder for what is removed again.
func temporary(prefix string) (string, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return "", fmt.Errorf("no place for temporary files: %w; TMPDIR (on Windows TMP) names another folder", err)
	}
	return dir, nil
}

func (a *app) demo(ctx context.Context, keep, remote bool) (err error) {
	dir, err := temporary("wreg-demo-")
	if err != nil {
		return err
	}
	if keep {
		defer tell(a.out, fmt.Sprintf("\nEverything is in %s; wreg --registry %s ls shows it.", dir, filepath.Join(dir, "registry.db")))
	} else {
		defer func() {
			err = errors.Join(err, os.RemoveAll(dir))
			tell(a.out, fmt.Sprintf("\nAll of it was in %s, which is removed again (--keep leaves it).", dir))
		}()
	}
	start := time.Now()
	if remote {
		err = a.demoRemote(ctx, dir)
	} else {
		err = a.demoSteps(ctx, dir, mainSteps...)
	}
	if err == nil {
		fmt.Fprintf(a.out, "\nDone in %.1f s.\n", time.Since(start).Seconds())
	}
	return err
}

func (a *app) demoSteps(ctx context.Context, dir string, steps ...demoStep) error {
	for i, s := range steps {
		if s.say != "" {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			fmt.Fprintln(a.out, strings.Join(breakLine(s.say, terminalWidth(a.out), 0), "\n"))
		}
		if err := a.demoStep(ctx, dir, s); err != nil {
			return err
		}
	}
	return nil
}

// demoStep runs one command line as if it had been typed; its talk goes where
// its data goes, so that they stay in order.
func (a *app) demoStep(ctx context.Context, dir string, s demoStep) error {
	args := make([]string, len(s.args))
	for i, w := range s.args {
		args[i] = strings.Replace(w, "DIR", dir, 1)
	}
	fmt.Fprintln(a.out, continued("$ wreg "+shellLine(args), terminalWidth(a.out)))
	// The first global flags are those of the demo; table, for people.
	args = append([]string{"--registry", filepath.Join(dir, "registry.db"), "--format", "table"}, args...)
	one := &app{in: a.in, out: a.out, err: a.out, noPager: true}
	err := one.execute(ctx, args)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if got := one.status(ctx, err); got != s.want {
		return fmt.Errorf("demo: wreg %s ended with exit status %d, not %d", shellLine(s.args), got, s.want)
	}
	return nil
}

// continued breaks a command between its words so that it fits width columns and can still
// be pasted.
func continued(line string, width int) string {
	const more = " \\"
	if width <= 0 || columnsOf(line) <= width || slices.ContainsFunc(strings.Fields(line), func(w string) bool { return columnsOf(w) > width-len("  ")-len(more) }) {
		return line
	}
	lines := breakLine(line, width-len(more), 2)
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Count(l, "'")%2 > 0 }) {
		return line // a quoted word cannot be broken
	}
	return strings.Join(lines, more+"\n")
}

// shellLine quotes words as a shell needs them.
func shellLine(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = tensor.ShellWord(w)
	}
	return strings.Join(out, " ")
}
