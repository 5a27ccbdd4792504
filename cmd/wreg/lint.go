package main

import (
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest"
)

func lintCommand(a *app) *cobra.Command {
	var rules bool
	c := &cobra.Command{
		Use:   "lint PATH",
		Short: "say what other readers would do differently with a checkpoint",
		Long: `Opens a checkpoint without registering it and lists, by rules with stable names,
where safetensors, MLX, transformers, llama.cpp or torch would read it
differently from wreg: take what is broken, skip what is there, fail late.`,
		Example: `  wreg lint ./model.safetensors
  wreg lint ./hunyuan --format sarif
  wreg lint --rules`,
		Args: func(c *cobra.Command, args []string) error {
			if rules {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if rules {
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
			found, err := ingest.Lint(c.Context(), path, ingest.Options{})
			if err != nil {
				return err
			}
			rep := &report{head: []field{{"lint", args[0]}}, columns: []string{"rule", "file", "tensor", "message"}}
			for _, f := range found {
				rep.rows = append(rep.rows, []any{f.Rule, f.File, f.Tensor, strings.TrimSpace(f.Message)})
			}
			return a.conclude(rep, len(found) > 0, "", args[0]+": all known readers agree")
		},
	}
	c.Flags().BoolVar(&rules, "rules", false, "list the rules instead")
	return describe(c, statusFindings)
}
