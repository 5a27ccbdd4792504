package compute

import (
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newJoin, scratch: func(n *op.Node, out, limit int64) int64 {
		return min(out, limit) + deepest(n, out, limit)
	}}, op.Stack, op.Concat)
}

// join is stack and concat: seen from the axis, the result consists of outer rows,
// each holding one run of every input.
type join struct {
	e     *Evaluator
	in    []Value
	runs  []int64 // elements of each input's run
	row   int64   // their sum
	dtype tensor.DType
	slot  int
}

func newJoin(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	j := &join{e: e, in: in, dtype: n.DType, slot: e.slot()}
	for _, m := range n.In {
		run := int64(1)
		for _, d := range m.Shape[min(n.Axis, len(m.Shape)):] {
			run *= d
		}
		j.runs = append(j.runs, run)
		j.row += run
	}
	return j, nil
}

func (j *join) Read(dst []byte, first int64) error {
	last := first + Count(j.dtype, dst) // one past
	if first == last {
		return nil
	}
	start := int64(0) // of the input's run in a row
	for i, run := range j.runs {
		// Rows lo..hi of the input hold what is wanted, in one piece.
		from := clampRun(first, j.row, start, run)
		to := clampRun(last, j.row, start, run)
		if from < to {
			if err := j.scatter(j.in[i], dst, first, start, run, from, to); err != nil {
				return err
			}
		}
		start += run
	}
	return nil
}

// clampRun gives how many elements of an input lie before element at of the
// result.
func clampRun(at, row, start, run int64) int64 {
	if row == 0 {
		return 0
	}
	return at/row*run + min(max(at%row-start, 0), run)
}

// scatter reads elements from..to of an input and puts each run in its place.
func (j *join) scatter(in Value, dst []byte, first, start, run, from, to int64) error {
	place := func(at int64) int64 { return SizeOf(j.dtype, at/run*j.row+start+at%run-first) }
	if to-from <= run-from%run { // within one run: no detour
		p := place(from)
		return in.Read(dst[p:p+SizeOf(j.dtype, to-from)], from)
	}
	step := to - from
	if most := Count(j.dtype, j.e.Limit); step > most {
		step = max(most/run*run, BlockElems)
	}
	for at := from; at < to; at += step {
		end := min(at+step, to)
		buf := j.e.buffer(j.slot, SizeOf(j.dtype, end-at))
		if err := in.Read(buf, at); err != nil {
			return err
		}
		for p := at; p < end; {
			n := min(run-p%run, end-p)
			copy(dst[place(p):], buf[SizeOf(j.dtype, p-at):SizeOf(j.dtype, p-at+n)])
			p += n
		}
	}
	return nil
}
