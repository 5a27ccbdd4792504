package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/measure"
	viewtext "wreg/view/text"
)

// diffOptions are the flags of wreg diff, and the two models.
type diffOptions struct {
	a, b, arch, memory string
	expand, values     bool
	at                 place // of B
	measure.Options
}

func diffCommand(a *app) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "missing, extra and changed in model B relative to A",
		Long: `Compares two models by content, through the architecture when the layouts
differ, a stack against its experts slice by slice: the rows are those of wreg
query 'gaps in B against A'. On a terminal it draws which layers of which modules
changed; --expand lists the rows.

--values reads both checkpoints and says by how much: the norm of the change
relative to the norm of A's tensor, the largest change and where it is, how many
elements changed. What mlx packed in 2 to 8 bits is compared by what it stands
for, so that of a quantized model the norm is its error, beside its bits a
weight. Tensors whose hashes are equal are not read. Sums are in float64, in a
fixed order, over elements that are finite in both; the others are counted.
Files that changed since they were ingested are an error. In a pipe a row is a
tensor that is not equal: path, status, norm, largest change, where, elements,
elements changed, NaN, infinite, how A and B store it, their bits a weight, and
why it is not compared, if it is not.

Without --values nothing is known of weights that only one side has quantized, of
what was cast, and of tensors whose hashes cannot be compared: --no-hash takes none.
What is not compared counts as a difference.`,
		Example: `  wreg diff base tuned
  wreg diff base tuned --values
  wreg diff hunyuan hunyuan-4bit --values --json
  wreg diff llama@1 llama@2 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			o.a, o.b = args[0], args[1]
			format, err := a.outputFormat()
			if err != nil {
				return err
			}
			if o.memory != "" {
				if o.Memory, err = parseSize(o.memory); err != nil {
					return fmt.Errorf("--memory: %w", err)
				}
			}
			if !o.values && (c.Flags().Changed("memory") || c.Flags().Changed("jobs")) {
				return fmt.Errorf("--memory and --jobs are about reading values; add --values")
			}
			if !o.values && (format != "table" || o.expand) {
				return a.query(c.Context(), fmt.Sprintf("gaps in %q against %q", o.b, o.a), queryOptions{arch: o.arch, expand: o.expand, exitCode: true, diff: &o})
			}
			return a.diff(c.Context(), &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.arch, "arch", "", "architecture `FILE` instead of the one for model_type")
	f.BoolVar(&o.expand, "expand", false, "list every row, also on a terminal")
	f.BoolVar(&o.values, "values", false, "read both checkpoints: by how much, not only which")
	f.StringVar(&o.memory, "memory", "", "with --values: bound on buffers (default 512MiB)")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "with --values: workers (default one per core)")
	return describe(c, "0 no difference, 1 differences, or something that was not compared, 2 trouble")
}

// valuesLine is the command that reads values.
func (o *diffOptions) valuesLine() string {
	return shellLine([]string{"wreg", "diff", o.a, o.b, "--values"})
}

// leanGC is how much garbage, in percent of what is held, waits for collection while two
// models are measured: of 100,000 tensors each some 200 MB are held.
const leanGC = 25

// compare says how two models differ and, where values are asked for, reads both.
func (a *app) compare(ctx context.Context, o *diffOptions) (c *view.Comparison, err error) {
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		ar, err := readArch(o.arch)
		if err != nil {
			return err
		}
		was, err := s.Find(o.a)
		if err != nil {
			return err
		}
		is, err := s.Find(o.b)
		if err != nil {
			return err
		}
		o.at = placeOf(is.Root, is.Files)
		c, err = view.Compare(ctx, s, was, is, ar)
		return err
	})
	if err != nil || !o.values {
		return c, err
	}
	unboundMemory()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(leanGC)
	}
	m := a.meter(o.a+" and "+o.b, c.Bytes)
	o.Progress = m.add
	err = c.Measure(ctx, o.Options)
	m.stop()
	return c, err
}

// diff compares two models and prints how they differ.
func (a *app) diff(ctx context.Context, o *diffOptions) error {
	c, err := a.compare(ctx, o)
	if err != nil {
		return err
	}
	for _, n := range c.Notes {
		a.say("%s", n)
	}
	format, err := a.outputFormat()
	if err != nil {
		return err
	}
	if format == "json" {
		if err := writeJSON(a.out, c, true); err != nil {
			return err
		}
		if c.Differs {
			return errFindings
		}
		return nil
	}
	rep := diffReport(c)
	rep.rule, rep.at = "diff", []place{o.at}
	if !o.expand {
		rep.draw = func(w viewtext.Options) []string { return viewtext.Comparison(c, w) }
	}
	return a.conclude(rep, c.Differs, "", "")
}

// diffReport has a row for each tensor that is not equal, or not known to be.
func diffReport(c *view.Comparison) *report {
	rep := &report{
		columns: []string{"path", "status", "relative", "max", "at", "elements", "elements_changed", "nans", "infs", "a", "b", "bits_a", "bits_b", "reason", "remedy"},
		spare:   []string{"remedy", "reason", "nans", "infs", "at", "a", "b", "bits_a", "elements", "bits_b"},
		empty:   fmt.Sprintf("%s and %s do not differ", c.A, c.B),
	}
	for i := range c.Tensors {
		t := &c.Tensors[i]
		row := []any{t.Path, t.Status, nil, nil, nil, nil, nil, nil, nil, t.A, t.B, t.BitsA, t.BitsB, t.Reason, t.Remedy}
		if x := t.Change; x != nil {
			row[2], row[3] = number(x.Relative), number(x.Max)
			if x.At != nil {
				row[4] = tensor.Shape(x.At)
			}
			row[5], row[6], row[7], row[8] = x.Elements, x.Changed, x.NaNs, x.Infs
		}
		if t.BitsA == 0 && t.BitsB == 0 {
			row[11], row[12] = nil, nil
		}
		rep.rows = append(rep.rows, row)
	}
	return rep
}

// number is a cell of what may be absent.
func number(x *float64) any {
	if x == nil {
		return nil
	}
	return *x
}
