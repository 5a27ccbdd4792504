package view

import (
	"cmp"
	"fmt"

	"wreg/export/mlxconfig"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
	"wreg/view/words"
)

// Large are tensors with values beyond float16, by path: the magnitude.
type Large map[string]float64

// Add takes the values of a tensor.
func (l Large) Add(path string, absMax float64) {
	if beyondHalf(absMax) {
		l[path] = absMax
	}
}

func beyondHalf(x float64) bool {
	limit, _ := tensor.F16.Greatest()
	return x > limit
}

// Brief is a model at a glance as far as an ingest knows it, without another look at the
// registry; why says why res is nil.
func Brief(v *registry.Revision, res *arch.Resolution, why string, tensors []tensor.Info) *Model {
	m := &Model{Ref: v.Ref(), Root: v.Root, Created: v.Created.UTC(), Tool: v.Tool, Source: v.Source, Layout: v.Layout,
		Trust: tensor.Least(v.Files).String(), Problem: why, Tensors: int64(v.Tensors), Files: len(v.Files)}
	if res != nil {
		m.Arch, m.Layout = res.Arch.Name, res.Layout
	}
	m.Findings = make([]Finding, len(v.Findings))
	for i, f := range v.Findings {
		m.Findings[i] = Finding{f.Rule, f.File, f.Tensor, f.Message, f.Note()}
	}
	values, large := &Values{}, Large{}
	for i := range tensors {
		t := &tensors[i]
		if t.Stats == nil {
			continue
		}
		n, _ := t.Shape.Numel()
		values.add(t.Stats, t.DType.Floating(), n, t.Path)
		if t.DType.Floating() {
			large.Add(t.Path, t.Stats.AbsMax)
		}
	}
	if values.Tensors > 0 {
		m.Values = values
	}
	m.Verdict = Judge(v, res, large)
	return m
}

// Judge says whether a revision is what its architecture expects. res is nil where there
// is none; its gaps have the remedies that query.Remedied gives them.
func Judge(v *registry.Revision, res *arch.Resolution, large Large) Verdict {
	out := Verdict{State: Unknown, Findings: tensor.Faults(v.Findings), Next: []string{}}
	if res == nil {
		return out
	}
	out.count(res, int64(v.Tensors))
	out.State, out.Export = Whole, exported(v.Config, res, large)
	if out.Gaps = int64(len(res.Gaps)); out.Gaps > 0 {
		out.State, out.Lines = Gapped, Fold(res.Gaps)
		if g := &res.Gaps[0]; g.All {
			out.Note = g.Reason + "; " + g.Remedy
		}
		out.Next = []string{"wreg coverage " + v.Ref(), fmt.Sprintf("wreg query 'gaps in %s'", v.Ref())}
	} else if res.Layout != res.Arch.Layout {
		out.Next = []string{fmt.Sprintf("wreg export %s --out %s", v.Ref(), tensor.ShellWord(v.Model+"-mlx"))}
	}
	return out
}

// count says how many tensors are needed, and what is wrong with how many.
func (v *Verdict) count(res *arch.Resolution, there int64) {
	if len(res.Gaps) > 0 && res.Gaps[0].All && res.Gaps[0].Status == arch.Missing { // by other names, none is there
		v.Expected = int64(len(res.Targets))
		v.Missing = v.Expected
		return
	}
	aside := asideOf(res)
	for _, status := range aside {
		if status == arch.Extra {
			v.Extra++
		}
	}
	for _, g := range res.Gaps {
		switch g.Status {
		case arch.Missing:
			v.Missing++
		case arch.Changed:
			v.Changed++
		}
	}
	v.Expected = there - int64(len(aside)) + v.Missing
}

// Fold puts gaps on few lines: those that differ in nothing but the numbers or one word of
// their path, as a query's answer is folded.
func Fold(gaps []arch.Gap) []Line {
	r := &query.Result{Columns: []string{"path", "status", "reason", "remedy"}}
	for _, g := range gaps {
		r.Rows = append(r.Rows, []any{g.Path, g.Status, g.Reason, g.Remedy})
	}
	var lines []Line
	for _, row := range r.Fold().Rows {
		text := func(i int) string { s, _ := row[i].(string); return s }
		n, _ := row[4].(int64)
		lines = append(lines, Line{Path: text(0), Status: text(1), Reason: text(2), Remedy: text(3), Tensors: n})
	}
	return lines
}

// castOf is what floats are cast to by an export that is not told.
func castOf(config []byte) tensor.DType {
	doc, err := pyjson.Parse(config)
	if err != nil {
		return tensor.Invalid
	}
	return mlxconfig.DType(tensor.Invalid, doc)
}

// dtypeOf is what an export to mlx makes of a target.
func dtypeOf(t *arch.Target, cast tensor.DType) tensor.DType {
	if d := t.Make.DType; t.Keep || cast == tensor.Invalid || !d.Floating() {
		return d
	}
	return cast
}

// Refused is what keeps mlx_lm from making a model of a config.json, nil where nothing is known to.
func Refused(config []byte) error { return mlxconfig.Refuses(config) }

// exported says what an export to mlx would write.
func exported(config []byte, res *arch.Resolution, large Large) string {
	if n := len(res.Gaps); n > 0 {
		return "refused: " + tensor.Count(n, "gap")
	}
	if err := mlxconfig.Refuses(config); err != nil {
		return "refused: " + err.Error()
	}
	cast, total := castOf(config), int64(0)
	for i := range res.Targets {
		t := &res.Targets[i]
		d := dtypeOf(t, cast)
		n, err := t.Make.Shape.Bytes(d)
		if err != nil {
			return "refused: " + err.Error()
		}
		total += n
		if len(large) > 0 && d != t.Make.DType {
			if why := overflow(t, d, large); why != "" {
				return "refused: " + why
			}
		}
	}
	return fmt.Sprintf("%s, %s", tensor.Count(len(res.Targets), "tensor"), words.Size(total))
}

// overflow says what would become infinite in a cast to d.
func overflow(t *arch.Target, d tensor.DType, large Large) (why string) {
	limit, ok := d.Greatest()
	t.Make.Sources(func(path string) {
		if x := large[path]; ok && x > limit && why == "" {
			why = fmt.Sprintf("values up to %.4g in %s do not fit %v; give --dtype", x, path, d)
		}
	})
	return why
}

// The estimate is of mlx_lm's default: 4 bits, and two numbers for each 64.
const (
	fourBits  = 4
	groupSize = 64
)

// atFourBits is what an export with -q would take; nil where it is quantized already.
func atFourBits(config []byte, res *arch.Resolution) *Estimate {
	cast, e, params := castOf(config), &Estimate{}, int64(0)
	some := false
	for i := range res.Targets {
		t := &res.Targets[i]
		d, shape := dtypeOf(t, cast), t.Make.Shape
		n, err := shape.Numel()
		if t.Packed.Bits > 0 || err != nil {
			return nil
		}
		params += n
		bits, group := int64(fourBits), int64(groupSize)
		if t.Quant.Bits > 0 {
			bits, group = int64(t.Quant.Bits), int64(cmp.Or(t.Quant.GroupSize, groupSize))
		}
		if t.Quant.Eligible && !t.Quant.Never && d.Floating() && d != tensor.F64 && group > 0 && shape[len(shape)-1]%group == 0 {
			scales, _ := d.Size(2 * (n / group))
			e.Bytes += n/8*bits + scales
			some = true
			continue
		}
		bytes, err := d.Size(n)
		if err != nil {
			return nil
		}
		e.Bytes += bytes
	}
	if !some || params == 0 {
		return nil
	}
	e.Bits = float64(e.Bytes) * 8 / float64(params)
	return e
}
