package main

import (
	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/view"
	viewtext "wreg/view/text"
)

func statsCommand(a *app) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "stats MODEL",
		Short: "how large each layer's values are, for float16 and 4 bits",
		Long: `Shows what ingest recorded of a model's values: for each module the absmax of
every layer, on one logarithmic scale, and the layer that stands out; what a
cast to float16 would turn into infinity (beyond 65504) or into nothing but
zeros; and the modules whose range in one layer is 4 times that of the layers
beside it or more, which may deserve more bits, as options for wreg export -q.
A wide range is a hint, not a loss: wreg diff MODEL MODEL-4bit --values says
what quantizing lost. Nothing is read but the registry; what tiny values next to
larger ones become in float16 was not recorded, and is not told.

In a pipe a row is a module of a layer: component, layer, absmax, min, max,
nans, infs, zeros, tensors.`,
		Example: `  wreg stats llama
  wreg stats llama --json
  wreg stats llama | sort -t "$(printf '\t')" -k3 -g -r | head    # the largest values`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var r *view.Spread
			again := ""
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				ar, err := readArch(file)
				if err != nil {
					return err
				}
				again = rehashLine(v)
				r, err = view.Ranges(c.Context(), s, v, ar)
				return err
			})
			if err != nil {
				return err
			}
			if err := a.printStats(r); err != nil {
				return err
			}
			switch {
			case r.Tensors == 0 && r.Unknown == 0:
				a.say("%s: none of its %d tensors holds plain floats, so there are no ranges to show", r.Ref, r.Codes)
			case r.Tensors == 0:
				a.say("%s: no statistics were recorded; %s takes them", r.Ref, again)
			case r.Unknown > 0:
				a.say("%s: %d of %d float tensors have no statistics; %s takes them", r.Ref, r.Unknown, r.Unknown+r.Tensors, again)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "arch", "", "architecture `FILE` instead of the one for model_type")
	return describe(c, statusPlain)
}

// rehashLine is the command that takes hashes and statistics of a revision's checkpoint.
func rehashLine(v *registry.Revision) string {
	flag := "--rehash"
	if v.Far() {
		flag = "--verify"
	}
	line := shellLine([]string{"wreg", "ingest", v.Root, "--name", v.Model, flag})
	if flags := v.Naming.Flags(); flags != "" {
		line += " " + flags
	}
	return line
}

func (a *app) printStats(r *view.Spread) error {
	format, err := a.outputFormat()
	if err != nil {
		return err
	}
	if format == "json" {
		return writeJSON(a.out, r, true)
	}
	if format == "table" && r.Tensors == 0 {
		return nil
	}
	rep := &report{columns: []string{"component", "layer", "absmax", "min", "max", "nans", "infs", "zeros", "tensors"},
		draw: func(o viewtext.Options) []string { return viewtext.Ranges(r, o) }}
	add := func(component string, layer any, s *view.Span) {
		rep.rows = append(rep.rows, []any{component, layer, number(s.AbsMax), number(s.Min), number(s.Max), s.NaNs, s.Infs, s.Zeros, s.Tensors})
	}
	for _, b := range r.Bands {
		if b.Outside != nil {
			add(b.Component, nil, b.Outside)
		}
		for i, s := range b.Spans {
			if s != nil {
				add(b.Component, r.Layers[i], s)
			}
		}
	}
	return a.print(rep)
}
