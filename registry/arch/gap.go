package arch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// gapsOf explains why nothing makes an output: what the nearest way lacks, and that
// way.
func (r *match) gapsOf(it *declare.Output, o *outcome, layout string) ([]Gap, *declare.TensorExpr) {
	k := nearestWay(it, o.shortfalls, layout == r.Arch.Layout)
	t, m := o.shortfalls[k], it.From[k]
	gaps := slices.Clone(t.wrong)
	told := r.inputShapes(m, it.Shape)
	for i := range t.foreign {
		gaps = append(gaps, r.foreignGap(&t.foreign[i], it, told[t.foreign[i].path]))
	}
	for _, path := range t.absent {
		g := Gap{Status: Missing, Want: Want{Path: r.hfName(path), Shape: told[path], DType: tensor.Invalid, Optional: it.Optional, Rule: it.Rule}}
		if !op.Complete(g.Shape) {
			g.Shape = nil
		}
		if path == it.Path {
			g.DType = it.DType
			if layout == r.Arch.Layout {
				g.Path = path
			}
		}
		g.Reason = r.absence(path, m)
		gaps = append(gaps, g)
	}
	for i := range gaps {
		g := &gaps[i]
		if g.Path == "" {
			g.Want = wantOf(it)
		}
		if g.Remedy == "" && g.Status == Changed && g.Have != nil && it.DType == tensor.Invalid && g.Have.Coded() {
			g.Remedy = "export the checkpoint that it was made from: codes mean nothing without their own scales"
		}
	}
	return gaps, m
}

// nearestWay picks the way most of whose inputs are there; on a tie, the one that the
// layout suggests.
func nearestWay(it *declare.Output, all []*Shortfall, asMade bool) int {
	best, bestScore := 0, -1.0
	preferred := it.Own
	if !asMade {
		preferred = it.FirstWritten()
	}
	for k, t := range all {
		score := 1 - float64(len(t.absent))/float64(max(t.total, 1))
		if len(t.absent) == 0 {
			score = 0.9 // all there, but not as expected
		}
		if k == preferred {
			score += 1e-6
		}
		if score > bestScore {
			best, bestScore = k, score
		}
	}
	return best
}

// companions are endings of the tensors without which packed codes have no value.
var companions = []string{"scale_inv", "scales", "weight_scale", "qzeros", "biases"}

// absence says what is missing, in the config's numbers: expert 9 of 16 missing in
// layer 3.
func (r *match) absence(path string, m *declare.TensorExpr) string {
	if n, ok := m.Number(path); ok {
		return Absent(path, n, m.Until-m.From)
	}
	if slices.ContainsFunc(companions, func(suffix string) bool { return strings.HasSuffix(path, suffix) }) {
		return "the weight beside it is packed and means nothing without it" + inLayer(path)
	}
	return Absent(path, 0, 0)
}

// Absent says that a tensor is missing: "missing in layer 3", or "expert 9 of 16
// missing in layer 3" where it is one of several.
func Absent(path string, expert, of int64) string {
	layer := inLayer(path)
	switch {
	case of == 0 && layer == "":
		return "not in the checkpoint"
	case of == 0:
		return "missing" + layer
	}
	return fmt.Sprintf("expert %d of %d missing%s", expert, of, layer)
}

func inLayer(path string) string {
	template, index := tensor.SplitPath(path)
	if k, _, _ := tensor.LayerOf(template); k >= 0 && k < len(index) {
		return fmt.Sprintf(" in layer %d", index[k])
	}
	return ""
}

// relative drops a path's prefix up to its layer number, as people write paths.
func relative(path string) string {
	template, _ := tensor.SplitPath(path)
	_, from, to := tensor.LayerOf(template)
	if from < 0 || to == len(template) {
		return path
	}
	dots := strings.Count(template[:from], ".") + 1
	for range dots {
		_, path, _ = strings.Cut(path, ".")
	}
	return path
}

// Against lists what a layout must hold and the checkpoint lacks or holds in another
// shape, each with a reason and a remedy. The layout need not be the checkpoint's own:
// an hf checkpoint lacks every stack of the mlx layout, and the remedy says what it is
// can be stacked from.
func (a *Arch) Against(ctx context.Context, c *Config, layout string, src Source) ([]Gap, error) {
	r, err := a.match(ctx, c, src, false)
	if err != nil {
		return nil, err
	}
	var gaps []Gap
	if layout == r.Arch.Layout {
		lost := 0
		for _, it := range r.Outputs {
			if err := r.Round(); err != nil {
				return nil, err
			}
			if g := r.lacksMLX(it); g != nil {
				if gaps = append(gaps, *g); g.Remedy == Lost {
					lost++
				}
			}
		}
		return r.unlessWrapped(gaps, lost, a.onPaper(ctx, c))
	}
	whole := func(it *declare.Output, m *declare.TensorExpr) bool {
		first, ok := r.ranged(m)
		return ok && first.Shape.Equal(op.Tail(it.Shape))
	}
	absent := 0
	_, err = r.eachHF(whole, func(w Want, it *declare.Output, m *declare.TensorExpr) {
		have, ok := r.src.Lookup(w.Path)
		switch {
		case !ok && !w.Optional:
			if s, stored := r.storedBy(w.Path); stored {
				gaps = append(gaps, r.foreignGap(&foreign{path: w.Path, Stored: s}, it, w.Shape))
				return
			}
			absent++
			gaps = append(gaps, Gap{Status: Missing, Want: w, Reason: r.absence(w.Path, m)})
		case ok && w.Shape != nil && !w.Shape.Equal(have.Shape) && have.DType.Float():
			gaps = append(gaps, Gap{Status: Changed, Want: w, Have: &have, Reason: fmt.Sprintf("shape %v, expected %v", have.Shape, w.Shape)})
		}
	})
	if err != nil {
		return nil, err
	}
	return r.unlessWrapped(gaps, absent, a.onPaper(ctx, c))
}

// Lost is the remedy of what the checkpoint itself cannot make.
const Lost = "lost: nothing in the checkpoint makes it"

// lacksMLX checks one tensor of the mlx layout.
func (r *match) lacksMLX(it *declare.Output) *Gap {
	if have, ok := r.src.Lookup(it.Path); ok {
		r.making = making{Output: it}
		f, t := r.load(it.Path)
		r.making = making{}
		if t == nil && f.Shape.Equal(it.Shape) {
			return nil
		}
		if t != nil && len(t.foreign) > 0 {
			g := r.foreignGap(&t.foreign[0], it, it.Shape)
			return &g
		}
		return &Gap{Status: Changed, Want: wantOf(it), Have: &have, Reason: fmt.Sprintf("shape %v, expected %v", have.Shape, it.Shape)}
	}
	g := &Gap{Status: Missing, Want: wantOf(it), Reason: "not in the checkpoint"}
	o := r.choose(it)
	if o.chosen >= 0 {
		g.Reason, g.Remedy = r.remedy(it.From[o.chosen])
		return g
	}
	if it.Optional && !anyPresent(o.shortfalls) {
		return nil
	}
	k := nearestWay(it, o.shortfalls, false)
	t := o.shortfalls[k]
	gaps, _ := r.gapsOf(it, &o, HF)
	if i := slices.IndexFunc(gaps, func(g Gap) bool { return r.foreign[g.Path] }); i >= 0 {
		g.Reason, g.Remedy = gaps[i].Path+": "+gaps[i].Reason, gaps[i].Remedy
		return g
	}
	switch {
	case len(t.absent) == t.total && len(t.wrong) == 0 && it.From[k].Op != declare.Each:
		g.Reason, g.Remedy = r.absence(it.Path, it.From[k]), Lost
	case len(t.absent) > 0:
		g.Reason, g.Remedy = r.absence(t.absent[0], it.From[k]), "then it "+r.made(it.From[k])
		if more := len(t.absent) - 1; more > 0 {
			g.Reason += fmt.Sprintf(", and %d more", more)
		}
		if len(t.absent) == t.total {
			g.Remedy = Lost
		}
	default:
		g.Reason = t.wrong[0].Reason
	}
	return g
}

// remedy says how a tensor that can be made is made.
func (r *match) remedy(m *declare.TensorExpr) (reason, remedy string) {
	switch m.Op {
	case declare.Each:
		return fmt.Sprintf("present as %d separate experts", m.Until-m.From), r.made(m)
	case op.Load:
		return "present under another name", r.made(m)
	}
	return "not converted yet: all its parts are present", r.made(m)
}

func (r *match) made(m *declare.TensorExpr) string {
	switch m.Op {
	case declare.Each:
		return "can be stacked from " + relative(r.hfName(m.Prefix)+"{"+strconv.FormatInt(m.From, 10)+".."+strconv.FormatInt(m.Until-1, 10)+"}"+m.Suffix)
	case op.Load:
		return "can be copied from " + relative(r.hfName(m.Path))
	}
	var paths []string
	m.Loads(func(path string) {
		if p := relative(r.hfName(path)); !slices.Contains(paths, p) && len(paths) < 8 {
			paths = append(paths, p)
		}
	})
	return fmt.Sprintf("can be made by %s of %s", m.Op, strings.Join(paths, ", "))
}
