package arch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
)

const (
	wrappedShare = 16      // names are looked at as a whole where so large a part of the outputs is lacking
	maxRenamed   = 1 << 19 // tensors that are given other names to see whether they fit
	maxTried     = 4       // ways to name them
)

// onPaper counts the outputs that nothing makes of a checkpoint which is not there: for
// want of tensors, or because those that have the right names are not as expected.
type onPaper func(src Source) (absent, unfit int, err error)

func (a *Arch) onPaper(ctx context.Context, c *Config) onPaper {
	return func(src Source) (absent, unfit int, err error) {
		r, err := a.match(ctx, c, src, false)
		if err != nil {
			return 0, 0, err
		}
		outcomes, err := r.chooseAll(func(*outcome) {})
		if err != nil {
			return 0, 0, err
		}
		for i, it := range r.Outputs {
			switch o := &outcomes[i]; {
			case !lacking(it, o):
			case slices.ContainsFunc(o.shortfalls, func(t *Shortfall) bool { return len(t.absent) == 0 }):
				unfit++
			default:
				absent++
			}
		}
		return absent, unfit, r.Over()
	}
}

// wrapped is the one gap of a checkpoint whose tensors have other names than the
// architecture's by a prefix, or whose adapter was not merged: what to do about that
// was tried, and of the hundreds of tensors that are lacking now at most half are then.
func (r *match) wrapped(lacking int, again onPaper) ([]Gap, error) {
	if r.src == nil || lacking == 0 || lacking*wrappedShare < len(r.Outputs) {
		return nil, nil
	}
	var list tensor.List
	r.src.All(func(i tensor.Info) bool {
		list = append(list, i)
		return len(list) <= maxRenamed && r.Work(1) == nil
	})
	if len(list) > maxRenamed || r.Over() != nil {
		return nil, r.Over()
	}
	if f, first, n := tensor.FlatAmong(list); 2*n > len(list) {
		return []Gap{{Status: Missing, All: true, Want: Want{Path: first}, Remedy: f.Do,
			Reason: fmt.Sprintf("%d of %d tensors are %s: pieces of many weights in a row, which wreg cannot put together", n, len(list), f.Whose)}}, nil
	}
	a := wrap.Adapted(list)
	guesses := r.expected().Guess(func(visit func(path string) bool) {
		for i := range a.Merged {
			if !visit(a.Merged[i].Path) {
				return
			}
		}
	})
	if a.N > 0 { // merging may be all there is to do
		guesses = slices.Insert(guesses, 0, wrap.Guess{Of: len(list)})
	}
	best, missing := r.tried(guesses[:min(len(guesses), maxTried)], a.Merged, lacking, again)
	if best == nil || r.Over() != nil {
		return nil, r.Over()
	}
	g := Gap{Status: Missing, All: true}
	if a.N > 0 {
		g.Path, g.Reason, g.Remedy = a.Says(len(list), missing)
	} else {
		g.Path, g.Reason, g.Remedy = best.Says(list, r.Arch.Name, missing, guesses)
	}
	return []Gap{g}, nil
}

// tried is the guess that leaves the fewest tensors lacking, at most half of those that are
// lacking now, and says what is missing then.
func (r *match) tried(guesses []wrap.Guess, list tensor.List, lacking int, again onPaper) (best *wrap.Guess, missing string) {
	left, otherwise := 0, 0
	for i := range guesses {
		g := &guesses[i]
		renamed, _, _, err := g.Renamed(list)
		if err != nil {
			continue // two tensors would have one name
		}
		n, unfit, err := again(renamed)
		if r.Round() != nil {
			return nil, ""
		}
		if err != nil {
			continue // the architecture refuses what would be there
		}
		if n*2 <= lacking && (best == nil || n < left || n == left && unfit < otherwise) {
			best, left, otherwise = g, n, unfit
		}
	}
	missing = "nothing is missing"
	if left > 0 {
		missing = fmt.Sprintf("%d of %d tensors are missing", left, len(r.Outputs))
	}
	if otherwise > 0 {
		missing += fmt.Sprintf(", and %d are there but not as expected", otherwise)
	}
	return best, missing
}

// unmerged makes one gap of an adapter's tensors beside weights that are all there, where
// they are the only gaps.
func (r *match) unmerged(res *Resolution) {
	if len(res.Gaps) == 0 || slices.ContainsFunc(res.Gaps, func(g Gap) bool {
		if g.Status != Extra {
			return true
		}
		_, _, part := tensor.AdapterPart(g.Have.Path)
		return !part
	}) {
		return
	}
	first, total := res.Gaps[0].Have, 0
	r.src.All(func(tensor.Info) bool {
		total++
		return r.Work(1) == nil
	})
	_, part, _ := tensor.AdapterPart(first.Path)
	a := wrap.Adapter{N: len(res.Gaps), First: first.Path, Part: part}
	g := Gap{Status: Extra, Have: first, All: true}
	_, g.Reason, g.Remedy = a.Says(total, "nothing is missing")
	res.Gaps = []Gap{g}
}

// fewPieces is from how many tensors on it is no accident that they are of one size.
const fewPieces = 4

// cut is what is cut into so many pieces.
type cut struct {
	tensors int
	blocks  map[string]bool // that they lie in: attention, feed-forward, those outside of layers
	sizes   map[int64]bool  // that are cut
	vectors bool            // weights of one axis, as norms have, are among them
}

// ranks reports that it is as tensor parallelism cuts: most matrices, of several sizes, in
// all blocks of a model, and no norm. A config.json with another number of heads than the weights have, or
// another width, changes one block, one size, or norms as well.
func (c *cut) ranks(changed, matrices int) bool {
	return c.tensors >= fewPieces && c.tensors*2 >= changed && c.tensors*4 >= matrices*3 && len(c.blocks) > 1 && len(c.sizes) > 1 && !c.vectors
}

// shares says of tensors of another shape than expected how that came about, where it
// shows: nothing is in them, or most are the same share of theirs.
func shares(res *Resolution) {
	gaps, matrices := res.Gaps, 0
	for i := range res.Targets {
		if len(res.Targets[i].Shape) > 1 {
			matrices++
		}
	}
	changed, of := 0, map[int64]*cut{}
	for i := range gaps {
		g := &gaps[i]
		if g.Status != Changed || g.Have == nil {
			continue
		}
		changed++
		n, axis := g.Have.Shape.PieceOf(g.Shape)
		if n < 2 {
			continue
		}
		c := of[n]
		if c == nil {
			c = &cut{blocks: map[string]bool{}, sizes: map[int64]bool{}}
			of[n] = c
		}
		block := ""
		template, _ := tensor.SplitPath(g.Have.Path)
		if _, _, to := tensor.LayerOf(template); to > 0 {
			block, _, _ = strings.Cut(strings.TrimPrefix(template[to:], "."), ".")
		}
		c.tensors++
		c.blocks[block], c.sizes[g.Shape[axis]] = true, true
		c.vectors = c.vectors || len(g.Shape) == 1 && strings.HasSuffix(template, ".weight")
	}
	for i := range gaps {
		g := &gaps[i]
		if g.Status != Changed || g.Have == nil {
			continue
		}
		n, axis := g.Have.Shape.PieceOf(g.Shape)
		switch {
		case slices.Contains(g.Have.Shape, 0):
			g.Reason += ": it has no elements"
			if len(g.Have.Shape) == 1 && g.Remedy == "" {
				g.Remedy = "if ZeRO-3 left it so, " + tensor.GatherZeRO3
			}
		case n > 1 && of[n].ranks(changed, matrices):
			g.Reason += fmt.Sprintf(": one of %d pieces along axis %d, as tensor parallelism cuts weights", n, axis)
			if g.Remedy == "" {
				g.Remedy = fmt.Sprintf("merge the checkpoints of all %d ranks first", n)
			}
		}
	}
}

// expected are the names of both layouts, and those that the ways to make a tensor read.
func (r *match) expected() *wrap.Expected {
	e := &wrap.Expected{}
	add := func(path string) {
		e.Add(path)
		for _, k := range r.Renamings.Near(path) {
			n := r.Renamings.List[k]
			if hf, ok := declare.Moved(path, n.To, n.From); ok && r.Work(1) == nil {
				e.Add(hf)
			}
		}
	}
	var names func(m *declare.TensorExpr)
	names = func(m *declare.TensorExpr) {
		switch m.Op {
		case op.Load:
			add(m.Path)
		case declare.Each:
			if m.From < m.Until {
				add(m.Element(m.From))
			}
		}
		for _, x := range m.In {
			names(x)
		}
	}
	for _, it := range r.Outputs {
		if r.Round() != nil {
			break
		}
		add(it.Path)
		for _, m := range it.From {
			names(m)
		}
	}
	return e
}

func (r *match) unlessWrapped(gaps []Gap, lost int, again onPaper) ([]Gap, error) {
	if w, err := r.wrapped(lost, again); w != nil || err != nil {
		return w, err
	}
	return gaps, r.Over()
}
