package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
)

func lsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [GLOB...]",
		Short: "list the models of the registry",
		Long: `Lists the latest revision of every model, or of those whose names match. A name without a glob lists every revision of that model.
trust is how a model is known, of its files the least: wreg help columns says what the words mean.`,
		Example: `  wreg ls
  wreg ls 'hunyuan*'
  wreg ls --json`,
		RunE: func(c *cobra.Command, args []string) error {
			rep := &report{
				columns: []string{"model", "tensors", "bytes", "layout", "hashed", "trust", "findings", "created", "root"},
				empty:   "no model yet; wreg ingest PATH registers one",
			}
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				list, err := a.list(s, args)
				rep.people = func() *report { return modelList(list) }
				for _, v := range list {
					rep.rows = append(rep.rows, []any{v.Ref(), int64(v.Tensors), v.Bytes, v.Layout, v.Hashed, tensor.Least(v.Files).String(),
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

// modelList is a list of models for people: what most have is not repeated in every line.
func modelList(list []*registry.Revision) *report {
	rep := &report{
		columns: []string{"model", "tensors", "bytes", "layout", "trust", "state", "made of", "ingested", "root"},
		spare:   []string{"ingested", "made of", "root"},
		empty:   "no model yet; wreg ingest PATH registers one",
	}
	states, sources, trusts := false, false, false
	for _, v := range list {
		var state []string
		if n := tensor.Faults(v.Findings); n > 0 {
			state = append(state, tensor.Count(n, "finding"))
		}
		trust := tensor.Least(v.Files)
		states, sources, trusts = states || state != nil, sources || v.Source != "", trusts || trust != tensor.TrustHashed
		rep.rows = append(rep.rows, []any{v.Ref(), int64(v.Tensors), v.Bytes, v.Layout, trust.String(), strings.Join(state, ", "), v.Source,
			v.Created.Local().Format("2006-01-02 15:04"), v.Root})
	}
	if !sources {
		rep.drop("made of")
	}
	if !states {
		rep.drop("state")
	}
	if !trusts {
		rep.drop("trust")
	}
	return rep
}

// drop leaves a column out.
func (r *report) drop(column string) {
	at := slices.Index(r.columns, column)
	r.columns = slices.Delete(r.columns, at, at+1)
	for i := range r.rows {
		r.rows[i] = slices.Delete(r.rows[i], at, at+1)
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
