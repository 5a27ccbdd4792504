package main

import (
	"github.com/spf13/cobra"

	"wreg/registry"
)

func compactCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "give back the room that removed revisions left",
		Long:  `Rewrites the registry beside itself, checks the copy, and renames it into place. A kill leaves the old one.`,
		Example: `  wreg rm scratch
  wreg compact`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.change(func(r *registry.Registry) error {
				before, after, err := r.Compact(c.Context())
				if err == nil {
					a.say("%s before, %s after", size(before), size(after))
				}
				return err
			})
		},
	}
}

func gcCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "gc",
		Short:   "remove what ingests and removals that were killed left behind",
		Long:    `Removes what ingests and removals that were killed left behind. None of it is visible, and the next ingest would do the same.`,
		Example: `  wreg gc`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := a.change(func(r *registry.Registry) error { return r.GC(c.Context()) })
			if err == nil {
				a.say("nothing that was killed is left behind")
			}
			return err
		},
	}
}
