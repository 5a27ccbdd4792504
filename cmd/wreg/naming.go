package main

import (
	"strings"

	"github.com/spf13/pflag"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// namingFlags are the flags that say how the names in a checkpoint's files are read.
func namingFlags(f *pflag.FlagSet, n *tensor.Naming) {
	f.StringVar(&n.Strip, "strip", "", "take `PREFIX` off every name; tensors without it are left out, except output heads")
	f.StringVar(&n.Add, "add", "", "put `PREFIX` before every name that lacks it, except output heads; an error where none does")
}

// sayLeft says in one line which tensors a naming leaves out.
func (a *app) sayLeft(left []tensor.Info, n tensor.Naming) {
	if len(left) == 0 {
		return
	}
	a.say("%s outside of %s left out: %s", tensor.Count(len(left), "tensor"), n.Strip, left[0].Path)
}

// allNames is the one gap of a checkpoint whose names are not those that are looked
// for, nil for any other.
func allNames(r *arch.Resolution) *arch.Gap {
	if r == nil || len(r.Gaps) == 0 || !r.Gaps[0].All {
		return nil
	}
	return &r.Gaps[0]
}

// namesFinding says which readers look for other names: transformers itself writes and
// finds transformer., and adds the prefix that a decoder by itself lacks.
func namesFinding(g *arch.Gap) tensor.Finding {
	readers := "transformers and mlx_lm look"
	if g.Path == "transformer.*" || strings.Contains(g.Remedy, "--add") && !strings.Contains(g.Remedy, "--strip") {
		readers = "mlx_lm looks"
	}
	return tensor.Finding{Rule: "other-names", Message: readers + " for other names: " + g.Reason + "; " + g.Remedy}
}
