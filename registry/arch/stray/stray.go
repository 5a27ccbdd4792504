// Package stray recognizes by name what tensors are that no rule of an architecture
// uses.
//
// Most users need [Needed]: whether the model computes other numbers without one; [Training]: what training keeps; and
// [Near]: whether two names may be one name, spelled twice.
//
// Invariants: a name is judged with what lies beside it, never with the architecture it
// is strange to.
package stray

import (
	"regexp"
	"slices"
	"strings"

	"wreg/registry/method"
	"wreg/registry/tensor"
)

// Beside a weight that is used, whatever is called so scales or orders it; of
// activations it does not.
var (
	beside     = regexp.MustCompile(`(^|_)(scales?|scale_(inv|weight|\d)|scaling_factor|zeros|zero_?point|zp|scb|absmax|codebooks?|lut|perm)$`)
	activation = regexp.MustCompile(`^(input|output|in|out|acts?|activations?|q|k|v|kv|prob)_`)
)

// adapter matches the names of weights that are to be added to others.
var adapter = regexp.MustCompile(`(^|[._])(` + strings.Join(tensor.AdapterParts, "|") + `)(\.|$)`)

// outputHead matches the names of output heads.
var outputHead = regexp.MustCompile(`(^|\.)(lm_head|embed_out|output_layer)\.(weight|bias)$|^((language_)?model\.|transformer\.)?(output|head)\.(weight|bias)$`)

// otherHead matches the names of what a model answers with instead of tokens.
var otherHead = regexp.MustCompile(`^((language_)?model\.|transformer\.|backbone\.)?(` + strings.Join(tensor.OtherHeads, "|") + `)(\.\w+)*\.(weight|bias)$`)

// Head reports that a tensor is called as output heads are: whether the model needs it,
// the bytes say.
func Head(path string) bool { return outputHead.MatchString(path) }

// Needed says why a model computes other numbers without a tensor, and what to do about
// it; nothing, where the name does not say so.
func Needed(path string, lookup func(path string) (tensor.Info, bool), used func(path string) bool) (why, remedy string) {
	dot := strings.LastIndexByte(path, '.')
	module, last := path[:max(dot, 0)], path[dot+1:]
	coded := func() bool {
		switch last {
		case "scales", "biases", "scale", "zeros", "zero_point":
			for _, name := range []string{".weight", ".qweight"} {
				if w, ok := lookup(module + name); ok && w.Coded() {
					return true
				}
			}
		}
		return false
	}
	part := func(p method.Part) bool {
		return p.Use == method.Weight || p.Use == method.Other && method.Packed(p.Weight, lookup)
	}
	switch {
	case slices.ContainsFunc(method.Weights(path), part), coded(), used(module+".weight") && beside.MatchString(last) && !activation.MatchString(last):
		return "belongs to a packed weight", "dequantize the checkpoint first"
	case otherHead.MatchString(path):
		return "is the head of a classifier or reward model, and mlx_lm only runs models that write text", "to go without it, take it out of the checkpoint"
	case adapter.MatchString(path):
		return "is part of an adapter", "merge it into the weights first"
	}
	return "", ""
}

// kinds are what training keeps beside the weights, by what names hold.
var kinds = []struct {
	name *regexp.Regexp
	what string
}{
	{tensor.OptimizerState, "it belongs to an optimizer's state"},
	{regexp.MustCompile(`(^|\.)(lr_schedulers?|scheduler|scheduler_state_dict|((random|torch|np|numpy|cuda|torch_cuda|python)_)?rng_states?)(\.|$)`), "it belongs to the state of training"},
	{regexp.MustCompile(`^(ema|ema_model|model_ema|ema_state_dict|state_dict_ema|shadow_params|teacher)\.`), "it belongs to a second set of weights"},
}

// Training says what part of training a tensor is, by its name; "" for any other.
func Training(path string) string {
	for _, k := range kinds {
		if k.name.MatchString(path) {
			return k.what
		}
	}
	return ""
}

// Near reports that two paths with the same numbers differ in one segment only, or in
// two letters in one place: as people and releases spell one name.
func Near(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	if len(x) <= 1 && len(y) <= 1 {
		return true
	}
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 2 && len(b) <= 2
}
