package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// flagValues are the words that flags take, and what each means.
var flagValues = map[string][]query.Word{
	"target": {{Name: arch.MLX, About: "what mlx_lm loads, experts stacked"}, {Name: arch.MLXVLM, About: "what mlx_vlm loads: the same, and what sees and hears"}, {Name: arch.HF, About: "the hub's names, experts one by one"}},
	"layout": {{Name: arch.HF, About: "the hub's names, experts one by one"}, {Name: arch.MLX, About: "what mlx_lm loads, experts stacked"}, {Name: arch.MLXVLM, About: "what mlx_vlm loads: the same, and what sees and hears"}},
	"dtype":  {{Name: "float16", About: "at most 65504"}, {Name: "bfloat16", About: "the range of float32, 8 bits of precision"}, {Name: "float32", About: "4 bytes each"}},
	"prove":  {{Name: "xxh3", About: "fast"}, {Name: "sha256", About: "slower, also against intent"}},
	"device": {{Name: "auto", About: "the fastest"}, {Name: "cpu", About: "this processor"}, {Name: "metal", About: "a Mac's GPU"}},
	"by":     {{Name: "layer", About: "a column for each layer"}, {Name: "expert", About: "a column for each expert of one layer"}},
}

// completions sees to it that every flag and argument of c and the commands below it offers
// what it takes: words, models, tensors, files where it takes files, and else nothing.
func (a *app) completions(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			a.completions(sub)
		}
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, known := c.GetFlagCompletionFunc(f.Name); !known && f.Value.Type() != "bool" {
			must(c.RegisterFlagCompletionFunc(f.Name, a.flagCompletion(f)))
		}
	})
	if c.Runnable() && !c.HasSubCommands() && c.ValidArgsFunction == nil {
		c.ValidArgsFunction = a.completeArgs
	}
}

func (a *app) flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	kind, _ := pflag.UnquoteUsage(f)
	if f.Name == "out" || f.Name == "mlx-path" || f.Name == "hf-path" {
		kind = "DIR"
	}
	if words, ok := flagValues[f.Name]; ok {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var list []string
			for _, w := range words {
				list = append(list, cobra.CompletionWithDesc(w.Name, w.About))
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
	}
	if kind == "NAME" && f.Name != "arch" { // a new one
		kind = ""
	}
	return func(c *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return a.completeKind(c, kind, nil, word)
	}
}

// completeArgs offers what a command's next argument may be, as its usage names it.
func (a *app) completeArgs(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	var kinds []string
	for _, k := range strings.Fields(c.Use)[1:] {
		if strings.HasPrefix(k, "-") {
			break
		}
		kinds = append(kinds, strings.Trim(k, "[]"))
	}
	last := len(kinds) - 1
	switch {
	case len(args) <= last:
		return a.completeKind(c, strings.TrimSuffix(kinds[len(args)], "..."), args, word)
	case last >= 0 && strings.HasSuffix(kinds[last], "..."):
		return a.completeKind(c, strings.TrimSuffix(kinds[last], "..."), args, word)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeKind offers what one word of a usage stands for: MODEL|DIR for either.
func (a *app) completeKind(c *cobra.Command, kind string, args []string, word string) (list []string, d cobra.ShellCompDirective) {
	d = cobra.ShellCompDirectiveNoFileComp
	for k := range strings.SplitSeq(kind, "|") {
		switch k {
		case "FILE", "PATH":
			d = cobra.ShellCompDirectiveDefault
		case "DIR":
			if d = cobra.ShellCompDirectiveFilterDirs; kind != "DIR" { // beside others, all files are offered
				d = cobra.ShellCompDirectiveDefault
			}
		case "MODEL", "GLOB", "A", "B":
			models, _ := a.completeModels(c, args, word)
			list = append(list, models...)
		case "ARCH", "NAME":
			for _, name := range arch.Names(arch.MLX) {
				if strings.HasPrefix(name, word) {
					list = append(list, name)
				}
			}
		case "TENSOR":
			list = append(list, a.tensors(c.Context(), args[0], word)...)
			d |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return list, d
}

// completeModels offers models, or behind NAME@ a model's revisions.
func (a *app) completeModels(_ *cobra.Command, _ []string, word string) (list []string, _ cobra.ShellCompDirective) {
	err := a.glance(func(s *registry.Snapshot) error {
		list = described(query.Refs(s, word))
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// maxOffered bounds the tensors that a shell is offered.
const maxOffered = 1000

// tensors offers paths of a model, up to the next dot of each.
func (a *app) tensors(ctx context.Context, ref, word string) (list []string) {
	_ = a.glance(func(s *registry.Snapshot) error { // completion has nowhere to report an error
		v, err := s.Find(ref)
		if err != nil {
			return err
		}
		seen := map[string]int{}
		may := func(template string) bool {
			fixed, _, _ := strings.Cut(template, "{")
			return strings.HasPrefix(fixed, word) || strings.HasPrefix(word, fixed)
		}
		for b, err := range s.BlocksWhere(ctx, v, may) {
			if err != nil {
				return err
			}
			for i := range b.Len() {
				path := b.Path(i)
				if !strings.HasPrefix(path, word) || !query.Typeable(path) {
					continue
				}
				if dot := strings.IndexByte(path[len(word):], '.'); dot >= 0 {
					path = path[:len(word)+dot+1]
				}
				if seen[path]++; seen[path] == 1 && len(list) < maxOffered {
					list = append(list, path)
				}
			}
		}
		slices.Sort(list)
		for i, path := range list {
			if strings.HasSuffix(path, ".") {
				list[i] = cobra.CompletionWithDesc(path, tensor.Count(seen[path], "tensor"))
			}
		}
		return nil
	})
	return list
}

// notThere says which tensors a model has that are called nearly so.
func notThere(ctx context.Context, s *registry.Snapshot, v *registry.Revision, path string) error {
	var paths []string
	for t, err := range s.Tensors(ctx, v) {
		if err != nil {
			return err
		}
		if d := len(t.Path) - len(path); d <= nearTensor && d >= -nearTensor || strings.HasSuffix(t.Path, "."+path) || strings.HasPrefix(t.Path, path+".") {
			paths = append(paths, t.Path)
		}
	}
	near := tensor.Nearest(paths, 1, func(p string) int {
		if strings.HasSuffix(p, "."+path) || strings.HasPrefix(p, path+".") {
			return 0
		}
		if d := tensor.EditDistance(path, p); d <= nearTensor {
			return d
		}
		return -1
	})
	if len(near) == 0 {
		return fmt.Errorf("%s: no tensor %q; %s lists them", v.Ref(), path, shellLine([]string{"wreg", "query", "find * in " + v.Ref()}))
	}
	return fmt.Errorf("%s: no tensor %q; did you mean %s?", v.Ref(), path, near[0])
}

// nearTensor is how many letters of a tensor's name may be wrong.
const nearTensor = 3

// nearFlag is what a flag that c does not have may have been meant to be.
func nearFlag(c *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || len(unknown.GetSpecifiedName()) < 2 {
		return ""
	}
	name := unknown.GetSpecifiedName()
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	c.LocalFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	near := tensor.Nearest(names, 1, func(n string) int {
		if d := tensor.EditDistance(name, n); d <= max(2, len(name)/3) && d < len(name) {
			return d
		}
		return -1
	})
	if len(near) == 0 {
		return ""
	}
	return "did you mean --" + near[0] + "? "
}
