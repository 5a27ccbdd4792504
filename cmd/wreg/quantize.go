package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"wreg/accel"
	"wreg/export"
	"wreg/export/consumer"
	"wreg/registry/arch"
)

// quantizeOptions are the flags of wreg export about quantization, as
// mlx_lm.convert names them.
type quantizeOptions struct {
	quantize     bool
	bits, group  int
	mode, recipe string
	overrides    []string
	dequantize   bool
}

var modes = []string{accel.Affine, accel.MXFP4, accel.NVFP4, accel.MXFP8}

func (q *quantizeOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVarP(&q.quantize, "quantize", "q", false, "quantize the weights")
	f.IntVar(&q.bits, "q-bits", 0, "bits of a weight (default the mode's: affine 4)")
	f.IntVar(&q.group, "q-group-size", 0, "weights that share a scale (default the mode's: affine 64)")
	f.StringVar(&q.mode, "q-mode", "", "affine (default), mxfp4, nvfp4 or mxfp8")
	f.StringVar(&q.recipe, "quant-predicate", "", "mixed bits: "+strings.Join(recipes(), ", "))
	f.StringArrayVar(&q.overrides, "q-override", nil, "`PATTERN=SPEC` for the modules that match: keep, or BITS, BITS/GROUP, MODE; the last one counts")
	f.BoolVarP(&q.dequantize, "dequantize", "d", false, "turn quantized weights into floats")
	must(c.RegisterFlagCompletionFunc("q-mode", cobra.FixedCompletions(modes, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("quant-predicate", cobra.FixedCompletions(recipes(), cobra.ShellCompDirectiveNoFileComp)))
	exclude(c, "quantize", "dequantize")
}

// apply sets what an export does about quantization.
func (q *quantizeOptions) apply(c *cobra.Command, o *export.Options) error {
	o.Dequantize = q.dequantize
	if !q.quantize {
		for _, name := range []string{"q-bits", "q-group-size", "q-mode", "quant-predicate", "q-override"} {
			if c.Flags().Changed(name) {
				return fmt.Errorf("--%s says how to quantize; add -q", name)
			}
		}
		return nil
	}
	o.Quantize = &export.Quantize{Mode: q.mode, Bits: q.bits, Group: q.group, Recipe: q.recipe}
	for _, text := range q.overrides {
		ov, err := parseOverride(text)
		if err != nil {
			return err
		}
		o.Quantize.Overrides = append(o.Quantize.Overrides, ov)
	}
	return nil
}

// parseOverride reads PATTERN=keep, PATTERN=8, PATTERN=8/32, PATTERN=mxfp4.
func parseOverride(text string) (export.Override, error) {
	bad := fmt.Errorf("--q-override %q: want PATTERN=keep, PATTERN=BITS, PATTERN=BITS/GROUP or PATTERN=MODE", text)
	i := strings.LastIndexByte(text, '=')
	if i <= 0 {
		return export.Override{}, bad
	}
	ov, spec := export.Override{Pattern: text[:i]}, text[i+1:]
	switch {
	case spec == "keep":
		ov.Keep = true
		return ov, nil
	case slices.Contains(modes, spec):
		ov.Mode = spec
		return ov, nil
	}
	bits, group, grouped := strings.Cut(spec, "/")
	var err error
	if ov.Bits, err = strconv.Atoi(bits); err != nil || ov.Bits <= 0 {
		return ov, bad
	}
	if grouped {
		if ov.Group, err = strconv.Atoi(group); err != nil || ov.Group <= 0 {
			return ov, bad
		}
	}
	return ov, nil
}

// recipes are the mixed recipes of every target.
func recipes() (names []string) {
	for _, target := range arch.Made {
		names = append(names, consumer.Of(target).RecipeNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
