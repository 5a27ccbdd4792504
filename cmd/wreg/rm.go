package main

import (
	"errors"

	"github.com/spf13/cobra"

	"wreg/registry"
)

func rmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rm MODEL...",
		Short: "remove models, or single revisions, from the registry",
		Long:  `Removes every revision of a model, or one (NAME@2), from the registry. The checkpoint's files are not touched.`,
		Example: `  wreg rm hunyuan@1
  wreg rm scratch`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(func(r *registry.Registry) error {
				var errs []error
				var removed []any
				for _, ref := range args {
					if err := r.Remove(ref); err != nil {
						errs = append(errs, err)
						continue
					}
					a.say("%s: removed", ref)
					removed = append(removed, ref)
				}
				return errors.Join(append(errs, a.done(object{{"removed", orEmpty(removed)}}))...)
			})
		},
	}
}
