package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// A cell of the coverage: what of one component one layer has.
type coverCell struct{ expected, missing, changed, extra int64 }

func coverageCommand(a *app) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "coverage MODEL",
		Short: "layer by component: what is present, missing, changed, extra",
		Long: `Lays a model against its architecture and counts, for each layer and component,
the consumer's tensors that are expected, and those that cannot be made of what
is there; of what is there, what is changed and what is extra. It finds
something if and only if wreg query gaps has rows and wreg export refuses.`,
		Example: `  wreg coverage hunyuan
  wreg coverage hunyuan --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeModels,
		RunE: func(c *cobra.Command, args []string) error {
			rep := &report{columns: []string{"layer", "component", "expected", "present", "missing", "changed", "extra"}}
			found := false
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				res, err := resolve(c.Context(), s, v, file)
				if err != nil {
					return err
				}
				rep.head = []field{{"model", v.Ref()}, {"arch", res.Arch.Name}, {"layout", res.Layout}}
				rep.rows, found = coverageRows(res), len(res.Gaps) > 0
				if g := allNames(res); g != nil {
					a.say("%s: %s; %s", v.Ref(), g.Reason, g.Remedy)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return a.conclude(rep, found, "", "")
		},
	}
	c.Flags().StringVar(&file, "arch", "", "architecture `FILE` instead of the one for model_type")
	return describe(c, statusFindings)
}

// coverageRows counts the mlx layout's tensors by layer and component: a target that a
// gap prevents is missing; what is changed and what is extra counts where it lies.
func coverageRows(res *arch.Resolution) (rows [][]any) {
	type key struct {
		layer     int64
		component string
	}
	cells := map[key]*coverCell{}
	at := func(path string) *coverCell {
		layer, component := component(path)
		k := key{layer, component}
		if cells[k] == nil {
			cells[k] = &coverCell{}
		}
		return cells[k]
	}
	if g := allNames(res); g != nil && g.Status == arch.Missing { // by other names, none is there
		n := int64(len(res.Targets))
		return [][]any{{nil, g.Path, n, int64(0), n, int64(0), int64(0)}}
	}
	for _, t := range res.Targets {
		c := at(t.Path)
		c.expected++
		if t.Make == nil {
			c.missing++
		}
	}
	for _, g := range res.Gaps {
		switch g.Status {
		case arch.Changed:
			at(g.Path).changed++
		case arch.Extra:
			at(g.Path).extra++
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(cells), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.component, b.component))
	}) {
		c := cells[k]
		var layer any
		if k.layer >= 0 {
			layer = k.layer
		}
		rows = append(rows, []any{layer, k.component, c.expected, c.expected - c.missing, c.missing, c.changed, c.extra})
	}
	return rows
}

// component splits a path into its layer, -1 for none, and the part of the model
// it belongs to: what stands between the layer and the last two segments' names.
func component(path string) (layer int64, name string) {
	template, index := tensor.SplitPath(path)
	layer = -1
	if i, _, end := tensor.LayerOf(template); i >= 0 && i < len(index) {
		layer = index[i]
		template = strings.TrimPrefix(template[end:], ".")
	}
	parts := strings.Split(template, ".")
	return layer, strings.Join(parts[:max(1, min(2, len(parts)-2))], ".")
}
