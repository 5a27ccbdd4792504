package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// The words that against takes beside models.
const (
	againstSpec   = "spec"
	againstLayers = "layers"
)

// want is one tensor that should be there.
type want struct {
	path     string
	shape    tensor.Shape // nil: any
	dtype    tensor.DType // Invalid: any
	optional bool
	castable bool    // floats of another dtype will do
	content  content // what its bytes should be, where that is known
	reason   string  // why it would be missing, where the expectation knows better
	remedy   string
}

// expectation is what a model is measured against.
type expectation struct {
	against string // "spec hunyuan", "layers", "hunyuan@1"
	layout  string
	wants   []want
	found   []gap             // missing and changed, where the expectation knows them itself; else nil
	dropped map[string]string // tensors that may be there all the same, and why
	notes   []string
	present present                  // what is there, when not simply the model's tensors
	extra   func(path string) string // why a tensor is extra; nil: the usual
}

// present is the side that is measured.
type present interface {
	whole(path string) (tensor.Info, bool)
	each(whole bool, yield func(tensor.Info) bool)
}

// gap is one row of the answer.
type gap struct {
	path, status   string
	want           *want
	have           *tensor.Info
	reason, remedy string
}

// gaps measures each model and passes the gaps to out.
func (q *Query) gaps(ctx context.Context, s *registry.Snapshot, models []*registry.Revision, o Options, out *sink, r *Result) error {
	for _, v := range models {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := &checkpoint{snapshot: s, revision: v}
		e, err := q.expect(s, c, o)
		if err == nil {
			err = c.err
		}
		if err != nil {
			return err
		}
		list := q.compare(c, e)
		if err := q.mend(s, c, e.against, list); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		b := gapBatch(list, v)
		for _, condition := range q.conditions() {
			keep, err := b.selected(condition)
			if err != nil {
				return err
			}
			list = pick(list, keep)
			b = gapBatch(list, v)
		}
		r.Against, r.Layout = join(r.Against, e.against), join(r.Layout, e.layout)
		for _, n := range e.notes {
			if !slices.Contains(r.Notes, n) {
				r.Notes = append(r.Notes, n)
			}
		}
		if done, err := out.takeBatch(b); err != nil || done {
			return err
		}
	}
	return nil
}

func join(list, item string) string {
	if list == "" || list == item {
		return item
	}
	return list + ", " + item
}

// expect finds what the query measures against.
func (q *Query) expect(s *registry.Snapshot, c *checkpoint, o Options) (*expectation, error) {
	switch q.against {
	case "", againstSpec:
		return q.expectSpec(c, o)
	case againstLayers:
		return q.expectLayers(c)
	}
	reference, err := s.Find(q.against)
	if err != nil {
		return nil, fmt.Errorf("against %s: %w", q.against, err)
	}
	return q.expectModel(c, &checkpoint{snapshot: s, revision: reference}, o)
}

// compare lists the gaps of the statuses that the verb asks for.
func (q *Query) compare(c *checkpoint, e *expectation) []gap {
	asks := func(status string) bool { return q.verb == Gaps || q.verb == status }
	var side present = c
	if e.present != nil {
		side = e.present
	}
	var gaps []gap
	wanted := make(map[string]bool, len(e.wants))
	for i := range e.wants {
		w := &e.wants[i]
		wanted[w.path] = true
		if e.found != nil || q.verb == Extra || !q.matches(w.path) {
			continue
		}
		have, ok := side.whole(w.path)
		switch {
		case !ok && !w.optional && asks(arch.Missing):
			g := gap{path: w.path, status: arch.Missing, want: w, reason: w.reason, remedy: w.remedy}
			gaps = append(gaps, g)
		case ok && asks(arch.Changed):
			if g := changed(w, have); g != nil {
				gaps = append(gaps, *g)
			}
		}
	}
	for _, g := range e.found {
		if asks(g.status) && q.matches(g.path) {
			gaps = append(gaps, g)
		}
	}
	explainMissing(gaps, e, side)
	if asks(arch.Extra) {
		side.each(true, func(t tensor.Info) bool {
			if _, dropped := e.dropped[t.Path]; !wanted[t.Path] && !dropped && q.matches(t.Path) {
				gaps = append(gaps, gap{path: t.Path, status: arch.Extra, have: &t, reason: e.whyExtra(t.Path)})
			}
			return true
		})
	}
	sortGaps(gaps)
	return gaps
}

func (e *expectation) whyExtra(path string) string {
	if e.extra != nil {
		return e.extra(path)
	}
	return "nothing of " + e.against + " is named so"
}

// castTo reports that a tensor of another float dtype is what was wanted, cast.
func (w *want) castTo(d tensor.DType) bool {
	return w.castable && d != w.dtype && d.Float() && w.dtype.Float() && !w.content.unlike
}

// changed compares a tensor with what it should be; nil when nothing differs.
func changed(w *want, have tensor.Info) *gap {
	g := &gap{path: w.path, status: arch.Changed, want: w, have: &have}
	same := alike(w.content.stats, have.Stats)
	switch {
	case w.shape != nil && !w.shape.Equal(have.Shape):
		g.reason = fmt.Sprintf("shape is %v, should be %v", have.Shape, w.shape)
		if g.remedy = transposed(w.shape, have.Shape); g.remedy != "" && same {
			g.reason = "transposed: " + g.reason + ", statistics are equal"
		}
	case w.castTo(have.DType):
		differs := castDiffers(w.content.stats, have.Stats)
		if differs == "" {
			return nil
		}
		g.reason = fmt.Sprintf("cast from %v to %v, but %s", w.dtype, have.DType, differs)
	case w.dtype.Valid() && w.dtype != have.DType:
		g.reason = fmt.Sprintf("dtype is %v, should be %v", have.DType, w.dtype)
		if have.DType.Float() && w.dtype.Float() {
			g.reason = fmt.Sprintf("cast: %s", g.reason)
			if differs := castDiffers(w.content.stats, have.Stats); differs != "" {
				g.reason += ", and " + differs
			}
		}
		g.remedy = fmt.Sprintf("cast to %v", w.dtype)
	default:
		if g.reason = w.content.differs(have); g.reason == "" {
			return nil
		}
		if same {
			g.reason += ", statistics are equal: the same values in another order?"
			g.remedy = transposed(have.Shape, have.Shape)
		}
	}
	return g
}

// transposed recognises a matrix that lies on its side.
func transposed(want, have tensor.Shape) string {
	if n := len(want); n == len(have) && n >= 2 && want[n-1] == have[n-2] && want[n-2] == have[n-1] && slices.Equal(want[:n-2], have[:n-2]) {
		return "transpose the last two axes"
	}
	return ""
}

// sortGaps orders gaps by template, then by their numbers.
func sortGaps(gaps []gap) {
	type key struct {
		template string
		index    []int64
		at       int
	}
	keys := make([]key, len(gaps))
	for i := range gaps {
		template, index := tensor.SplitPath(gaps[i].path)
		keys[i] = key{template, index, i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(strings.Compare(a.template, b.template), slices.Compare(a.index, b.index), cmp.Compare(a.at, b.at))
	})
	sorted := make([]gap, len(gaps))
	for i, k := range keys {
		sorted[i] = gaps[k.at]
	}
	copy(gaps, sorted)
}

// gapBatch gives gaps as rows.
func gapBatch(gaps []gap, v *registry.Revision) *batch {
	return &batch{n: len(gaps), weight: 1, load: func(c column) *vector {
		values := make([]any, len(gaps))
		for i := range gaps {
			values[i] = gaps[i].value(c, v)
		}
		return vectorOf(values)
	}}
}

// value is one column of a gap, nil when absent: a missing tensor has no shape.
func (g *gap) value(c column, v *registry.Revision) any {
	switch c {
	case colPath:
		return g.path
	case colModel:
		return v.Ref()
	case colStatus:
		return g.status
	case colReason:
		return textOrNil(g.reason)
	case colRemedy:
		return textOrNil(g.remedy)
	case colTemplate, colLayer, colExpert:
		template, index := tensor.SplitPath(g.path)
		if c == colTemplate {
			return template
		}
		if k := slices.Index(tensor.Placeholders(template), c.String()); k >= 0 && k < len(index) {
			return index[k]
		}
		return nil
	case colExpectedShape:
		if g.want != nil && g.want.shape != nil {
			return g.want.shape
		}
		return nil
	case colExpectedDType:
		if g.want != nil && g.want.dtype.Valid() {
			return g.want.dtype.String()
		}
		return nil
	}
	if g.have == nil {
		return nil
	}
	return infoValue(c, g.have)
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// infoValue is one column of a tensor's record.
func infoValue(c column, t *tensor.Info) any {
	switch c {
	case colDType:
		return t.DType.String()
	case colShape:
		return t.Shape
	case colRank:
		return int64(len(t.Shape))
	case colNumel:
		n, err := t.Shape.Numel()
		if err != nil {
			return nil
		}
		return n
	case colBytes:
		return t.Bytes
	case colHash:
		if t.Hash.IsZero() {
			return nil
		}
		return t.Hash
	case colFile:
		return t.File
	case colOffset:
		return t.Offset
	case colFormat:
		return t.Format
	}
	if t.Stats == nil {
		return nil
	}
	switch c {
	case colMin:
		return t.Stats.Min
	case colMax:
		return t.Stats.Max
	case colAbsMax:
		return t.Stats.AbsMax
	case colNaNs:
		return t.Stats.NaNs
	case colInfs:
		return t.Stats.Infs
	case colZeros:
		return t.Stats.Zeros
	}
	return nil
}
