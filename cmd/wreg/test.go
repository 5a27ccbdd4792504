package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"wreg/registry"
)

func testCommand(a *app) *cobra.Command {
	file := "wreg.checks"
	c := &cobra.Command{
		Use:   "test [MODEL]",
		Short: "run saved checks: queries with expectations",
		Long: `Runs the checks of a file: named queries, each with what its answer must be
(expect none, some, or = N rows). MODEL stands for the model of queries without
an in clause; else WREG_MODEL does. A check in wreg.checks, or in the FILE of
--file, looks like this:

  check moe-complete
    expect none
    missing mlp.**`,
		Example: `  wreg test hunyuan
  wreg test hunyuan --file ci/moe.checks --format junit`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			checks, err := readChecks(file)
			if err != nil {
				return err
			}
			var asked queryOptions
			if len(args) > 0 {
				asked.model = args[0]
			}
			model := asked.asked()
			rep := &report{head: []field{{"checks", file}}, columns: []string{"check", "result", "expected", "rows", "message"}}
			failed := 0
			var broken []error
			err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				for _, check := range checks {
					went := check.run(c.Context(), s, model)
					if err := c.Context().Err(); err != nil {
						return err
					}
					at, err := []place{{file: file}}, went.err
					if err == nil {
						if at, err = a.places(s, went.answer); len(at) == 0 {
							at = []place{{file: file}}
						}
					}
					rep.at = append(rep.at, at[0])
					if err != nil { // the others are still worth knowing
						broken = append(broken, fmt.Errorf("%s:%d: check %q: %w", file, check.line, check.name, err))
						rep.rows = append(rep.rows, []any{check.name, checkError, check.expect.text, nil, err.Error()})
						continue
					}
					if went.result == checkFail {
						failed++
					}
					rep.rows = append(rep.rows, []any{check.name, went.result, check.expect.text, int64(len(went.answer.Rows)), went.message})
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
