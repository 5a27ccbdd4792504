package main

import (
	"errors"

	"github.com/spf13/cobra"

	"wreg/registry"
)

func mergeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "merge FILE...",
		Short: "fold other registries into this one",
		Long: `Copies every revision of other registry files that this one does not hold
already; numbers may differ here. A merge that was interrupted can be repeated.`,
		Example: `  wreg merge /mnt/node7/registry.db
  wreg merge nodes/*.db --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			rep := &report{columns: []string{"file", "from", "to", "new"}}
			err := a.open(registry.Options{}, func(r *registry.Registry) error {
				for _, file := range args {
					other, err := registry.Open(file, registry.Options{ReadOnly: true})
					if err != nil {
						return err
					}
					merged, err := r.Merge(c.Context(), other)
					for _, m := range merged {
						rep.rows = append(rep.rows, []any{file, m.From, m.To, m.New})
					}
					if err := errors.Join(err, other.Close()); err != nil {
						return err
					}
				}
				return nil
			})
			return errors.Join(err, a.print(rep))
		},
	}
}
