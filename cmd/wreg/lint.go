package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest"
	"wreg/ingest/folder"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
)

func lintCommand(a *app) *cobra.Command {
	var rules bool
	var o ingest.Options
	c := &cobra.Command{
		Use:   "lint PATH",
		Short: "say what other readers would do differently",
		Long: `Opens a checkpoint without registering it and lists, by rules with stable names,
where safetensors, MLX, transformers, llama.cpp or torch would read it
differently from wreg: take what is broken, skip what is there, fail late.
With a config.json whose architecture is known, the gaps that keep it from
being exported are listed as well.`,
		Example: `  wreg lint ./model.safetensors
  wreg lint ./hunyuan --format sarif
  wreg lint --rules`,
		Args: func(c *cobra.Command, args []string) error {
			if rules && len(args) == 0 {
				return nil
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if rules && len(args) > 0 {
				return errors.New("--rules lists the rules and takes no PATH")
			}
			if rules {
				if format, _ := a.outputFormat(); slices.Contains(ciFormats, format) {
					return fmt.Errorf("--format %s shows rows as faults, and rules are none", format)
				}
				rep := &report{columns: []string{"rule", "reader", "does"}}
				for _, r := range ingest.LintRules {
					rep.rows = append(rep.rows, []any{r.ID, r.Reader, r.Does})
				}
				return a.print(rep)
			}
			path, err := checkpointPath(args[0])
			if err != nil {
				return err
			}
			found, err := ingest.Lint(c.Context(), path, o)
			if err != nil {
				return err
			}
			more, at, err := a.beyondHeaders(c.Context(), path, o)
			if err != nil {
				return err
			}
			found = append(found, more...)
			rep := &report{at: []place{at}, head: []field{{"lint", args[0]}}, columns: []string{"rule", "file", "tensor", "message"}}
			for _, f := range found {
				rep.rows = append(rep.rows, []any{f.Rule, f.File, f.Tensor, strings.TrimSpace(f.Message)})
			}
			return a.conclude(rep, tensor.Faults(found) > 0, "", args[0]+": all known readers agree")
		},
	}
	c.Flags().BoolVar(&rules, "rules", false, "list the rules instead")
	namingFlags(c.Flags(), &o.Naming)
	return describe(c, statusFindings)
}

// beyondHeaders says what package ingest cannot of a checkpoint: what its architecture makes
// of config.json, the gaps for which export refuses it, and what an ingest of the same files
// has said of their values; and where its rows lie.
func (a *app) beyondHeaders(ctx context.Context, path string, o ingest.Options) ([]tensor.Finding, place, error) {
	at := place{dir: folder.Of(path)}
	c, err := ingest.Open(ctx, path, o)
	if err != nil {
		return nil, at, ctx.Err() // lint has said so
	}
	defer c.Close()
	at = placeOf(c.Path(), c.Files())
	if c.Adapter() != nil {
		a.say("%s: %s, not a model", path, wrap.ReadTrained(c.Adapter()).Text())
	}
	res, _, found, err := matched(ctx, c, c.Tensors())
	if err != nil {
		return nil, at, err
	}
	if g := allNames(res); g != nil {
		found = append(found, namesFinding(g))
	} else if res != nil {
		found = append(found, gapFindings(res.Gaps)...)
	}
	if there, err := a.mayAsk(); err != nil || !there {
		return found, at, err
	}
	now := registry.Revision{Root: c.Path(), Config: c.Config(), Files: c.Files(), Naming: o.Naming.Whole(), Adapter: c.Adapter()}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		list, err := s.Models()
		for _, v := range list {
			if v.Hashed && unchanged(v, &now) {
				found = append(found, valueFindings(v)...)
				break
			}
		}
		return err
	})
	return found, at, err
}

// gapFindings are gaps as lint tells them: by the rules architecture-missing,
// architecture-changed and architecture-extra. What a method of quantization has stored is
// told once.
func gapFindings(gaps []arch.Gap) (found []tensor.Finding) {
	alike := map[string]int{}
	for _, g := range gaps {
		alike[g.Method]++
	}
	for _, g := range gaps {
		f := tensor.Finding{Rule: "architecture-" + g.Status, Tensor: g.Path, Message: g.Reason}
		if g.Method != "" && alike[g.Method] == 0 {
			continue
		}
		if g.Have != nil {
			f.File = g.Have.File
		}
		if g.Remedy != "" {
			f.Message += "; " + g.Remedy
		}
		if g.Method != "" {
			f.Message += arch.Alike(alike[g.Method] - 1)
			alike[g.Method] = 0
		}
		found = append(found, f)
	}
	return found
}

func valueFindings(v *registry.Revision) []tensor.Finding {
	return slices.DeleteFunc(slices.Clone(v.Findings), func(f tensor.Finding) bool { return !slices.Contains(ingest.ValueRules, f.Rule) })
}
