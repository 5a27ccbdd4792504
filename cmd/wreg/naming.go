package main

import (
	"github.com/spf13/pflag"

	"wreg/registry/tensor"
)

// namingFlags are the flags that say how the names in a checkpoint's files are read.
func namingFlags(f *pflag.FlagSet, n *tensor.Naming) {
	f.StringVar(&n.Strip, "strip", "", "take `PREFIX` off every name; tensors outside of it are left out, but for heads")
	f.StringVar(&n.Add, "add", "", "put `PREFIX` before every name that lacks it, but for heads")
}

// sayLeft says in one line which tensors a naming leaves out.
func (a *app) sayLeft(left []tensor.Info, n tensor.Naming) {
	if len(left) == 0 {
		return
	}
	a.say("%s outside of %s left out: %s", tensor.Count(len(left), "tensor"), n.Strip, left[0].Path)
}
