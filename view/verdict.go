package view

import (
	"fmt"

	"wreg/export/mlxconfig"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
	"wreg/view/words"
)

// Judge says whether a revision is what its architecture expects. res is nil where there
// is none; its gaps are sorted and have the remedies that query.Remedied gives them.
func Judge(v *registry.Revision, res *arch.Resolution) Verdict {
	out := Verdict{State: Unknown, Findings: tensor.Faults(v.Findings)}
	switch {
	case res == nil:
		return out
	case len(res.Gaps) == 0:
		out.State = Whole
	default:
		out.State, out.Gaps = Gapped, int64(len(res.Gaps))
		out.Lines = fold(res.Gaps)
	}
	out.Export = exported(v.Config, res)
	return out
}

// fold puts gaps on few lines.
func fold(gaps []arch.Gap) []Line {
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

// exported says what an export to mlx would write.
func exported(config []byte, res *arch.Resolution) string {
	if n := len(res.Gaps); n > 0 {
		return "refused: " + tensor.Count(n, "gap")
	}
	cast, total := castOf(config), int64(0)
	for i := range res.Targets {
		t := &res.Targets[i]
		n, err := t.Make.Shape.Bytes(dtypeOf(t, cast))
		if err != nil {
			return "refused: " + err.Error()
		}
		total += n
	}
	return fmt.Sprintf("%s, %s", tensor.Count(len(res.Targets), "tensor"), words.Size(total))
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
			bits, group = int64(t.Quant.Bits), int64(t.Quant.GroupSize)
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
