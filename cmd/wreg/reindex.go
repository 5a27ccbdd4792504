package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"wreg/ingest"
)

func reindexCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reindex DIR",
		Short: "write the index that says what a folder's shards hold",
		Long: `Reads the shards' headers and writes the index anew: beside the old one, then
renamed over it. The shards are not touched, and the old index decides nothing.
A shard that is absent by its number, or a tensor in two shards, is refused.`,
		Example: `  wreg reindex ./hunyuan`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := ingest.Reindex(c.Context(), args[0])
			if err != nil {
				return err
			}
			what := "was right already"
			if r.Changed {
				what = "written"
			}
			a.say("%s: %s: %s in %s, %s", filepath.Join(args[0], r.Name), what, count(r.Tensors, "tensor"), count(r.Shards, "shard"), size(r.TotalSize))
			return nil
		},
	}
}
