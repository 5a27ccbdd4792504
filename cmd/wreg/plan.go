package main

import (
	"fmt"
	"slices"
	"strings"

	"wreg/export"
	"wreg/query"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/view"
)

// mostLines is how many lines of one kind are told, folded ones.
const mostLines = 20

// foldedGaps is a refusal for people: where there are many gaps, those of a kind are on one
// line, and the lines are few.
type foldedGaps struct{ *export.GapError }

func (e *foldedGaps) Unwrap() error { return e.GapError }

func (e *foldedGaps) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines are the lines of Error; a line break within one is a name's.
func (e *foldedGaps) Lines() []string {
	lines := e.GapError.Lines()
	if len(lines) <= 1+mostLines { // all of them
		return lines
	}
	list := view.Fold(e.Gaps)
	lines = lines[:1]
	said := map[string]bool{}
	for _, g := range list[:min(len(list), mostLines)] {
		line := fmt.Sprintf("  %s %s", g.Status, g.Path)
		if g.Tensors > 1 {
			line += fmt.Sprintf(" (%d)", g.Tensors)
		}
		if g.Reason != "" {
			line += ": " + g.Reason
		}
		if g.Remedy != "" && !said[g.Remedy] && g.Remedy != arch.Lost {
			line += "; " + g.Remedy
			said[g.Remedy] = true // once is enough
		}
		lines = append(lines, line)
	}
	if more := len(list) - mostLines; more > 0 {
		lines = append(lines, fmt.Sprintf("  … %s", tensor.Count(more, "more line")))
	}
	return append(lines, fmt.Sprintf("  wreg query 'gaps in %s' lists them one by one", e.Model))
}

// leftOut tells which tensors of the source the output does not have, those of a kind on
// one line.
func leftOut(plan *export.Plan) []string {
	res := &query.Result{Columns: []string{"path", "reason"}}
	for _, d := range plan.Drops {
		res.Rows = append(res.Rows, []any{d.Path, fmt.Sprintf("dropped: %s (%s)", d.Because, d.Rule)})
	}
	for _, u := range plan.Unused {
		res.Rows = append(res.Rows, []any{u, "unused: no rule knows it"})
	}
	var lines []string
	rows := res.Fold().Rows
	for i, row := range rows {
		if i == mostLines {
			return append(lines, fmt.Sprintf("… %s of tensors that are left out; --dry-run --json lists them", tensor.Count(len(rows)-i, "more line")))
		}
		lines = append(lines, fmt.Sprintf("%s: %s", row[0], row[1]))
	}
	return lines
}

// planReport prints a plan: one row an output tensor.
func planReport(p *export.Plan) *report {
	rep := &report{
		head:    []field{{"model", p.Model}, {"target", p.Target}, {"total_size", p.TotalSize}, {"memory", p.Memory}, {"disk", p.Disk}},
		columns: []string{"path", "dtype", "shape", "bytes", "shard", "offset", "steps", "rule"},
	}
	if p.Network > 0 {
		rep.head = append(rep.head, field{"network", p.Network}, field{"spool", p.Spool})
	}
	quantized := slices.ContainsFunc(p.Tensors, func(t export.PlanTensor) bool { return t.Quant != "" })
	if quantized {
		rep.columns = append(rep.columns, "quantization")
	}
	var shards []any
	for _, s := range p.Shards {
		shards = append(shards, object{{"name", s.Name}, {"bytes", s.Bytes}})
	}
	var dropped []any
	for _, d := range p.Drops {
		dropped = append(dropped, object{{"path", d.Path}, {"because", d.Because}, {"rule", d.Rule}})
	}
	rep.head = append(rep.head, field{"shards", orEmpty(shards)}, field{"dropped", orEmpty(dropped)}, field{"unused", orNone(p.Unused)}, field{"notes", orNone(p.Notes)})
	for _, t := range p.Tensors {
		row := []any{t.Path, t.DType, t.Shape, t.Bytes, p.Shards[t.Shard].Name, t.Offset, t.Make.Text(), t.Rule}
		if quantized {
			row = append(row, t.Quant)
		}
		rep.rows = append(rep.rows, row)
	}
	rep.people = func() *report { return foldedPlan(p) }
	return rep
}

func orNone(list []string) []string { return append([]string{}, list...) }

// foldedPlan is a plan for people: without what differs from tensor to tensor or only says
// how, tensors of a kind on one line. The parts of a weight that is quantized are one.
func foldedPlan(p *export.Plan) *report {
	res := &query.Result{Columns: []string{"path", "dtype", "shape", "bytes"}}
	var unit *op.Node // whose parts are added up
	quantized := false
	for i := range p.Tensors {
		t := &p.Tensors[i]
		shape, how, ok := t.Quantized()
		if quantized = quantized || ok; !ok {
			res.Rows, unit = append(res.Rows, []any{t.Path, t.DType, t.Shape, t.Bytes}), nil
			continue
		}
		if of := t.Make.In[0]; of == unit {
			last := res.Rows[len(res.Rows)-1]
			last[3] = last[3].(int64) + t.Bytes
			continue
		}
		unit = t.Make.In[0]
		res.Rows = append(res.Rows, []any{t.Path, how, shape, t.Bytes})
	}
	res = res.Fold()
	if quantized { // not tensors: a weight is two or three
		res.Columns[len(res.Columns)-1] = "weights"
	}
	return &report{columns: res.Columns, rows: res.Rows}
}

// whyQuantized counts the weights by how they are quantized, or why not.
func whyQuantized(p *export.Plan) (lines []string) {
	count := map[string]int{}
	var order []string
	var unit *op.Node
	for i := range p.Tensors {
		t := &p.Tensors[i]
		if t.Quant == "" {
			continue
		}
		if _, _, ok := t.Quantized(); ok {
			if t.Make.In[0] == unit {
				continue
			}
			unit = t.Make.In[0]
		}
		if count[t.Quant]++; count[t.Quant] == 1 {
			order = append(order, t.Quant)
		}
	}
	for i, why := range order {
		if i == mostLines {
			return append(lines, fmt.Sprintf("… %s of reasons; --json has them", tensor.Count(len(order)-i, "more line")))
		}
		lines = append(lines, tensor.Count(count[why], "weight")+": "+why)
	}
	return lines
}
