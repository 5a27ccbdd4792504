package main

import (
	"strings"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
)

func lsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [GLOB...]",
		Short: "list the models of the registry",
		Long:  `Lists the latest revision of every model, or of those whose names match. A name without a glob lists every revision of that model.`,
		Example: `  wreg ls
  wreg ls 'hunyuan*'
  wreg ls --json`,
		RunE: func(c *cobra.Command, args []string) error {
			rep := &report{
				columns: []string{"model", "tensors", "bytes", "layout", "hashed", "findings", "created", "root"},
				spare:   []string{"created", "hashed", "root"},
				empty:   "no model yet; wreg ingest PATH registers one",
			}
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				list, err := a.list(s, args)
				for _, v := range list {
					rep.rows = append(rep.rows, []any{v.Ref(), int64(v.Tensors), v.Bytes, v.Layout, v.Hashed,
						int64(tensor.Faults(v.Findings)), v.Created.UTC().Format("2006-01-02T15:04:05Z"), v.Root})
				}
				return err
			})
			if err != nil {
				return err
			}
			return a.print(rep)
		},
	}
}

func (a *app) list(s *registry.Snapshot, globs []string) ([]*registry.Revision, error) {
	if len(globs) == 0 {
		return s.Models()
	}
	var list []*registry.Revision
	for _, g := range globs {
		get := s.Match
		if !strings.ContainsAny(g, "*?[{@") {
			get = s.Revisions
		}
		vs, err := get(g)
		if err != nil {
			return nil, err
		}
		list = append(list, vs...)
	}
	return list, nil
}
