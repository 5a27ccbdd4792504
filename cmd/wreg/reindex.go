package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"wreg/ingest"
	"wreg/registry/tensor"
)

func reindexCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reindex DIR",
		Short: "write the index that says what a folder's shards hold",
		Long: `Reads the shards' headers and writes the index anew: beside the old one, then
renamed over it. The shards are not touched, nor is an index that is right.
Refused are a shard that is absent by its number, a tensor in two files, two
sets of shards, and leaving out a file that the old index names.`,
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
			a.say("%s: %s: %s in %s, %s", filepath.Join(args[0], r.Name), what, tensor.Count(r.Tensors, "tensor"), tensor.Count(r.Shards, "shard"), size(r.TotalSize))
			return a.done(object{{"index", filepath.Join(args[0], r.Name)}, {"written", r.Changed}, {"tensors", int64(r.Tensors)}, {"shards", int64(r.Shards)}, {"bytes", r.TotalSize}})
		},
	}
}
