package main

import (
	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
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
				if err != nil {
					return err
				}
				a.say("%s before, %s after", size(before), size(after))
				return a.done(object{{"before", before}, {"after", after}})
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
			return a.change(func(r *registry.Registry) error {
				revisions, copies, err := r.Collect(c.Context())
				switch {
				case err != nil:
					return err
				case revisions+copies == 0:
					a.say("nothing that was killed is left behind")
				default:
					a.say("removed: %s and %s, as a kill leaves them; wreg compact gives their room back", tensor.Count(revisions, "unfinished revision"), tensor.Count(copies, "unfinished file"))
				}
				return a.done(object{{"revisions", int64(revisions)}, {"files", int64(copies)}})
			})
		},
	}
}
