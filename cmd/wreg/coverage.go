package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/view"
	viewtext "wreg/view/text"
)

func coverageCommand(a *app) *cobra.Command {
	var file, by string
	var layer int64
	c := &cobra.Command{
		Use:   "coverage MODEL",
		Short: "layer by component: what is present, missing, changed, extra",
		Long: `Lays a model against its architecture and counts, for each layer and component,
the tensors that are needed, under the names that they have in the checkpoint,
and what is missing, changed or extra: as many as wreg query gaps lists. On a
terminal it draws the map; --by expert draws the experts of one layer. It finds
something if and only if wreg query gaps has rows and wreg export refuses.`,
		Example: `  wreg coverage hunyuan
  wreg coverage hunyuan --by expert --layer 3
  wreg coverage hunyuan --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch expert := c.Flags().Changed("layer"); {
			case by != view.ByLayer && by != view.ByExpert:
				return fmt.Errorf("--by %q: want %s or %s", by, view.ByLayer, view.ByExpert)
			case by == view.ByExpert && !expert:
				return fmt.Errorf("--by %s: the experts of which layer? add --layer N", by)
			case by == view.ByLayer && expert:
				return fmt.Errorf("--layer %d: goes with --by %s", layer, view.ByExpert)
			}
			var m *view.Map
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				m, err = a.coverage(c.Context(), s, v, file, by, layer)
				return err
			})
			if err != nil {
				return err
			}
			rep := coverageReport(m)
			rep.draw = func(o viewtext.Options) []string { return viewtext.Map(m, o) }
			if m.Note != "" {
				a.say("%s: %s", m.Ref, m.Note)
			}
			return a.conclude(rep, m.Gaps > 0, fmt.Sprintf("wreg query 'gaps in %s' says why, and what to do", m.Ref), "")
		},
	}
	c.Flags().StringVar(&file, "arch", "", "architecture `FILE` instead of the one for model_type")
	c.Flags().StringVar(&by, "by", view.ByLayer, "what the columns are: layer, or expert with --layer")
	c.Flags().Int64Var(&layer, "layer", 0, "whose experts")
	must(c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{view.ByLayer, view.ByExpert}, cobra.ShellCompDirectiveNoFileComp)))
	return describe(c, statusFindings)
}

func (a *app) coverage(ctx context.Context, s *registry.Snapshot, v *registry.Revision, file, by string, layer int64) (*view.Map, error) {
	ar, err := readArch(file)
	if err != nil {
		return nil, err
	}
	if by == view.ByExpert {
		return view.Experts(ctx, s, v, ar, layer)
	}
	return view.Coverage(ctx, s, v, ar)
}

// coverageReport has a row for each cell that is not empty, by its number.
func coverageReport(m *view.Map) *report {
	rep := &report{
		head: []field{{"model", m.Ref}, {"arch", m.Arch}, {"layout", m.Layout}, {"by", m.By}, {"layers", m.Layers}, {"gaps", m.Gaps},
			{"total", m.Total}, {"note", m.Note}},
		columns: []string{m.By, "component", "expected", "present", "missing", "changed", "extra"},
	}
	add := func(number any, component string, c *view.Cell) {
		if *c != (view.Cell{}) {
			rep.rows = append(rep.rows, []any{number, component, c.Expected, c.Expected - c.Missing, c.Missing, c.Changed, c.Extra})
		}
	}
	for i := range m.Rows {
		r := &m.Rows[i]
		if r.Outside != nil {
			add(nil, r.Component, r.Outside)
		}
		for k := range r.Cells {
			add(m.Layers[k], r.Component, &r.Cells[k])
		}
	}
	slices.SortStableFunc(rep.rows, func(a, b []any) int {
		x, inside := a[0].(int64)
		y, also := b[0].(int64)
		if inside != also {
			return map[bool]int{true: 1, false: -1}[inside]
		}
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a[1].(string), b[1].(string)))
	})
	return rep
}
