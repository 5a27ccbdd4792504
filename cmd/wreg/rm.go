package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/shell"
)

func rmCommand(a *app) *cobra.Command {
	var yes, dry bool
	c := &cobra.Command{
		Use:   "rm MODEL...",
		Short: "remove models, or single revisions, from the registry",
		Long: `Removes every revision of a model, or one (NAME@2), from the registry. The
checkpoint's files are not touched; what is recorded of them, hashes too, is
lost. On a terminal it says what goes and asks first; --yes does not ask, nor is
anyone asked where stdin or stderr is no terminal. --dry-run only lists.`,
		Example: `  wreg rm hunyuan@1
  wreg rm scratch --yes
  wreg rm scratch old --dry-run`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dry {
				list, err := a.revisionsOf(args)
				if err != nil {
					return err
				}
				rep := &report{columns: []string{"model", "tensors", "bytes", "created", "root"}}
				for _, v := range list {
					rep.rows = append(rep.rows, []any{v.Ref(), int64(v.Tensors), v.Bytes, v.Created.UTC().Format(time.RFC3339), v.Root})
				}
				rep.people = func() *report { return modelList(list) }
				return a.print(rep)
			}
			if !yes && isTerminal(a.in) && isTerminal(a.err) {
				var err error
				if args, err = a.confirmed(c.Context(), args); args == nil {
					return err
				}
			}
			return a.remove(args)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&dry, "dry-run", false, "list what would be removed, and remove nothing")
	exclude(c, "yes", "dry-run")
	return c
}

func (a *app) remove(refs []string) error {
	return a.change(func(r *registry.Registry) error {
		var errs []error
		var removed []any
		for _, ref := range refs {
			if err := r.Remove(ref); err != nil {
				errs = append(errs, err)
				continue
			}
			a.say("%s: removed", ref)
			removed = append(removed, ref)
		}
		return errors.Join(append(errs, a.done(object{{"removed", orEmpty(removed)}}))...)
	})
}

// revisionsOf are the revisions that the words name, each once.
func (a *app) revisionsOf(refs []string) (list []*registry.Revision, err error) {
	seen := map[string]bool{}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		for _, ref := range refs {
			v, err := s.Find(ref)
			if err != nil {
				return err
			}
			all := []*registry.Revision{v}
			if !strings.Contains(ref, "@") {
				if all, err = s.Revisions(v.Model); err != nil {
					return err
				}
			}
			for _, v := range all {
				if !seen[v.Ref()] {
					seen[v.Ref()] = true
					list = append(list, v)
				}
			}
		}
		return nil
	})
	return list, err
}

// confirmed asks whether the revisions that the words name should go. These alone are
// given, whatever is registered meanwhile; none when the answer is no.
func (a *app) confirmed(ctx context.Context, refs []string) (confirmed []string, err error) {
	list, err := a.revisionsOf(refs)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		tell(a.err, escapeLine(v.Ref()+": "+tensor.Count(v.Tensors, "tensor")+", "+size(v.Bytes)+" in "+v.Root+" (the files stay)"))
		confirmed = append(confirmed, v.Ref())
	}
	yes, err := shell.Confirm(ctx, a.in, a.err, "Remove "+tensor.Count(len(list), "revision")+"? [y/N] ", false)
	if err != nil || !yes {
		a.say("nothing was removed")
		return nil, err
	}
	return confirmed, nil
}
