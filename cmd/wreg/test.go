package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"wreg/ingest/regular"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

func testCommand(a *app) *cobra.Command {
	file := "wreg.checks"
	c := &cobra.Command{
		Use:   "test [MODEL]",
		Short: "run saved checks: queries with expectations",
		Long: `Runs the checks of a file: named queries, each with what its answer must be
(expect none, some, or = N rows). MODEL stands for the model of queries without
an in clause.`,
		Example: `  wreg test hunyuan
  wreg test hunyuan --file ci/moe.checks --format junit`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeModels,
		RunE: func(c *cobra.Command, args []string) error {
			text, err := regular.Read(file, maxChecks)
			if err != nil {
				return err
			}
			checks, err := parseChecks(file, string(text))
			if err != nil {
				return err
			}
			var opts query.Options
			if len(args) > 0 {
				opts.Model = args[0]
			}
			rep := &report{head: []field{{"checks", file}}, columns: []string{"check", "result", "expected", "rows", "message"}}
			failed := 0
			var broken []error
			err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				for _, check := range checks {
					res, err := check.query.Run(c.Context(), s, opts)
					if err := c.Context().Err(); err != nil {
						return err
					}
					at := []place{{file: file}}
					if err == nil {
						if at, err = a.places(s, res); len(at) == 0 {
							at = []place{{file: file}}
						}
					}
					rep.at = append(rep.at, at[0])
					if err != nil { // the others are still worth knowing
						broken = append(broken, fmt.Errorf("%s:%d: check %q: %w", file, check.line, check.name, err))
						rep.rows = append(rep.rows, []any{check.name, "error", check.expect.text, nil, err.Error()})
						continue
					}
					n, result, message := len(res.Rows), "pass", ""
					if !check.expect.ok(n) {
						failed++
						result = "fail"
						ask := []string{"wreg", "query", check.text}
						if opts.Model != "" {
							ask = append(ask, "-m", opts.Model)
						}
						message = fmt.Sprintf("expected %s, the answer has %s; %s", check.expect.text, tensor.Count(n, "row"), shellLine(ask))
					}
					rep.rows = append(rep.rows, []any{check.name, result, check.expect.text, int64(n), message})
				}
				return nil
			})
			if err != nil {
				return err
			}
			if err := a.print(rep); err != nil {
				return err
			}
			if len(broken) > 0 {
				a.say("%d passed, %d failed, %d could not run", len(checks)-failed-len(broken), failed, len(broken))
				return errors.Join(broken...)
			}
			a.say("%d passed, %d failed", len(checks)-failed, failed)
			if failed > 0 {
				return errFindings
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", file, "`FILE` with the checks")
	return describe(c, "0 every check passed, 1 some did not, 2 trouble (no such file, a query that cannot run)")
}
