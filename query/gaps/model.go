package gaps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/method"
	"wreg/registry/tensor"
)

// expectModel is what another model has. Where the two name their tensors by
// different layouts, or one was exported from the other, both are carried over to
// layout mlx by their architecture, on paper: a stack is then compared with its
// experts, hash by hash.
func (q *Question) expectModel(c, reference *modelView) (*expectation, error) {
	e := &expectation{against: reference.revision.Ref()}
	c.layout = arch.Common(c.revision.Layout, reference.revision.Layout)
	reference.layout = c.layout
	ours, ourErr := q.resolve(c)
	theirs, theirErr := q.resolve(reference)
	if err := errors.Join(c.err, reference.err); err != nil {
		return nil, err
	}
	known := ourErr == nil && theirErr == nil && ours.Arch.Name == theirs.Arch.Name && ours.Arch.Layout == theirs.Arch.Layout
	switch {
	case known && (exported(c, reference) || exported(reference, c) || otherwiseNamed(ours, theirs)):
		if err := q.expectMapped(e, c, reference, ours, theirs); err != nil {
			return nil, err
		}
	default:
		if ourErr == nil {
			e.layout = ours.Layout
		}
		e.wants = held(reference)
		q.findRenamed(e, c)
		if known {
			foreign(e, ours, theirs)
		}
		if err := cmp.Or(ourErr, theirErr); err != nil && c.revision.Config != nil && reference.revision.Config != nil {
			e.notes = append(e.notes, fmt.Sprintf("compared by name only: %v", err))
		}
	}
	if err := errors.Join(c.err, reference.err); err != nil {
		return nil, err
	}
	for _, side := range []struct {
		of  *modelView
		has *arch.Resolution
	}{{c, ours}, {reference, theirs}} {
		if side.has != nil && len(side.has.Gaps) > 0 && side.has.Gaps[0].All {
			e.notes = append(e.notes, fmt.Sprintf("%s: %s; %s", side.of.revision.Ref(), side.has.Gaps[0].Reason, side.has.Gaps[0].Remedy))
		}
	}
	if len(e.wants) == 0 {
		return nil, fmt.Errorf("%s holds no tensors: there is nothing to compare with", reference.revision.Ref())
	}
	q.noteUncompared(e, c, reference)
	return e, nil
}

// foreign makes one difference of each weight that other software quantized on one side
// only, whatever its parts are called.
func foreign(e *expectation, ours, theirs *arch.Resolution) {
	here, there := byMethod(ours), byMethod(theirs)
	for path := range here {
		if there[path] != nil { // parts are compared with parts
			delete(here, path)
			delete(there, path)
		}
	}
	part := func(of map[string]*arch.Gap) func(path string) bool {
		return func(path string) bool {
			return len(of) > 0 && of[path] == nil && slices.ContainsFunc(method.Weights(path), func(p method.Part) bool { return of[p.Weight] != nil })
		}
	}
	if len(here) > 0 {
		was, ours := *e, part(here)
		e.foreign = here
		e.extra = func(path string) string {
			if ours(path) {
				return ""
			}
			return was.whyExtra(path)
		}
	}
	if len(there) == 0 {
		return
	}
	theirPart := part(there)
	e.wants = slices.DeleteFunc(e.wants, func(w want) bool { return there[w.Path] != nil || theirPart(w.Path) })
	for path, g := range there {
		w := want{Want: arch.Want{Path: path, Shape: g.Shape}, content: content{unlike: true}}
		e.unlike, e.wants = append(e.unlike, path), append(e.wants, w)
		e.uncertain(w.Want)
	}
	e.doubt("%s of %s quantized by other software, values not compared", tensor.Count(len(there), "weight"), e.against)
}

// byMethod are the gaps of the weights that other software quantized.
func byMethod(r *arch.Resolution) map[string]*arch.Gap {
	list := map[string]*arch.Gap{}
	for i := range r.Gaps {
		if g := &r.Gaps[i]; g.Method != "" {
			list[g.Path] = g
		}
	}
	return list
}

// exported reports that c was made from reference by an export.
func exported(c, reference *modelView) bool {
	return c.revision.Source != "" && c.revision.Source == reference.revision.Ref()
}

// otherwiseNamed reports that two models make some tensor of layout mlx of tensors
// with different names.
func otherwiseNamed(ours, theirs *arch.Resolution) bool {
	made := map[string]*op.Node{}
	for _, t := range ours.Targets {
		made[t.Path] = t.Make
	}
	for _, t := range theirs.Targets {
		if a, b := made[t.Path], t.Make; a != nil && b != nil && !slices.Equal(sources(a), sources(b)) {
			return true
		}
	}
	return ours.Layout != theirs.Layout
}

func sources(n *op.Node) (paths []string) {
	n.Sources(func(p string) { paths = append(paths, p) })
	slices.Sort(paths)
	return slices.Compact(paths)
}

// expectMapped compares what the two would have in layout mlx.
func (q *Question) expectMapped(e *expectation, c, reference *modelView, ours, theirs *arch.Resolution) error {
	e.layout, e.mapped = ours.Arch.Layout, true
	e.wants = made(theirs, reference)
	present := carried(ours, c)
	alignPacked(e, present, ours, theirs)
	e.present = present
	for _, path := range theirs.Unused {
		if t, ok := reference.whole(path); ok {
			e.wants = append(e.wants, wantAs(t))
		}
	}
	e.notes = append(e.notes, fmt.Sprintf("compared in layout %s (%s: %s, %s: %s)", e.layout, c.revision.Ref(), ours.Layout, reference.revision.Ref(), theirs.Layout))
	for _, g := range theirs.Gaps {
		if g.Status != arch.Extra {
			e.notes = append(e.notes, fmt.Sprintf("%s itself lacks %s: %s", reference.revision.Ref(), g.Path, g.Reason))
		}
	}
	if n := len(e.unlike); n > 0 {
		e.doubt("%s quantized on one side only, values not compared", tensor.Count(n, "weight"))
	}
	return q.reasons(e, c)
}

// alignPacked leaves a weight that only one side has quantized as one tensor of
// any shape, and its scales and biases out.
func alignPacked(e *expectation, present *mapping, ours, theirs *arch.Resolution) {
	packed := func(r *arch.Resolution) (weights, others map[string]bool) {
		weights, others = map[string]bool{}, map[string]bool{}
		for _, t := range r.Targets {
			if t.Packed.Bits == 0 {
				continue
			}
			if strings.HasSuffix(t.Path, "weight") {
				weights[t.Path] = true
			} else {
				others[t.Path] = true
			}
		}
		return weights, others
	}
	here, hereParts := packed(ours)
	there, thereParts := packed(theirs)
	for i := range e.wants {
		if w := &e.wants[i]; here[w.Path] != there[w.Path] {
			e.uncertain(w.Want)
			w.Shape, w.DType, w.content = nil, tensor.Invalid, content{unlike: true}
			e.unlike = append(e.unlike, w.Path)
		}
	}
	sibling := func(path, suffix string) string { return path[:strings.LastIndexByte(path, '.')+1] + suffix }
	e.wants = slices.DeleteFunc(e.wants, func(w want) bool { return thereParts[w.Path] && !here[sibling(w.Path, "weight")] })
	present.remove(func(path string) bool { return hereParts[path] && !there[sibling(path, "weight")] })
}

// reasons says why a model cannot make what another one has in layout mlx.
func (q *Question) reasons(e *expectation, c *modelView) error {
	a, config, err := q.architecture(c)
	if err != nil {
		return err
	}
	gaps, err := a.Against(c.ctx, config, a.Layout, c)
	if err != nil {
		return err
	}
	at := make(map[string]*arch.Gap, len(gaps))
	for i := range gaps {
		at[gaps[i].Path] = &gaps[i]
	}
	for i := range e.wants {
		if g := at[e.wants[i].Path]; g != nil {
			e.wants[i].reason, e.wants[i].remedy = g.Reason, g.Remedy
		}
	}
	return nil
}

// Resolve matches a model with its architecture, or with a, as Of does.
func Resolve(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*arch.Resolution, error) {
	c := &modelView{ctx: ctx, snapshot: s, revision: v}
	res, err := (&Question{Arch: a}).resolve(c)
	if c.err != nil {
		return nil, c.err // why something was not found
	}
	return res, err
}

func (q *Question) resolve(c *modelView) (*arch.Resolution, error) {
	a, config, err := q.architecture(c)
	if err != nil {
		return nil, err
	}
	return a.Resolve(c.ctx, config, c)
}

// held lists a model's tensors as they are.
func held(c *modelView) (wants []want) {
	c.each(true, func(t tensor.Info) bool {
		wants = append(wants, wantAs(t))
		return true
	})
	return wants
}

// wantAs wants a tensor just as it is there.
func wantAs(t tensor.Info) want {
	w := want{Want: arch.Want{Path: t.Path, Shape: t.Shape, DType: t.DType}, content: content{hash: t.Hash, stats: t.Stats}}
	for i, h := range t.Slices {
		w.content.slices = append(w.content.slices, piece{h, fmt.Sprintf("slice %d of %s", i, t.Path)})
	}
	return w
}

// made lists the tensors that a model would have in layout mlx. An export may cast
// floats, but for those that the consumer keeps as they are.
func made(r *arch.Resolution, c *modelView) (wants []want) {
	for _, t := range r.Targets {
		w := want{Want: t.Want, castable: !t.Keep}
		if t.Make != nil {
			w.DType = t.Make.DType
			w.content = contentOf(t.Make, c.whole)
		}
		wants = append(wants, w)
	}
	return wants
}

// mapping is a model seen in layout mlx without having been exported.
type mapping struct {
	list []tensor.Info
	at   map[string]int
}

// carried gives the tensors that a model would have in layout mlx, with the
// hashes that are known.
func carried(r *arch.Resolution, c *modelView) *mapping {
	m := &mapping{at: map[string]int{}}
	for _, t := range r.Targets {
		if t.Make == nil {
			continue
		}
		known := contentOf(t.Make, c.whole)
		info := tensor.Info{Path: t.Path, DType: t.Make.DType, Shape: t.Make.Shape, Hash: known.hash, Stats: known.stats}
		for _, s := range known.slices {
			info.Slices = append(info.Slices, s.hash)
		}
		info.Bytes, _ = info.Shape.Bytes(info.DType)
		m.add(info)
	}
	for _, path := range r.Unused {
		if t, ok := c.whole(path); ok {
			m.add(t)
		}
	}
	return m
}

func (m *mapping) add(t tensor.Info) {
	m.at[t.Path] = len(m.list)
	m.list = append(m.list, t)
}

func (m *mapping) remove(gone func(path string) bool) {
	list := m.list
	m.list, m.at = nil, map[string]int{}
	for _, t := range list {
		if !gone(t.Path) {
			m.add(t)
		}
	}
}

// whole is part of present.
func (m *mapping) whole(path string) (tensor.Info, bool) {
	i, ok := m.at[path]
	if !ok {
		return tensor.Info{}, false
	}
	return m.list[i], true
}

// each is part of present.
func (m *mapping) each(_ bool, yield func(tensor.Info) bool) {
	for _, t := range m.list {
		if !yield(t) {
			return
		}
	}
}

// noteUncompared counts the tensors of which only name, shape and dtype could be
// compared, and those that were cast: equality of bytes is never claimed without
// hashes.
func (q *Question) noteUncompared(e *expectation, c, reference *modelView) {
	proven := sync.OnceValue(func() bool { return q.madeOf(c, reference) || q.madeOf(reference, c) })
	side := e.side(c)
	n, casts, example, cast := 0, 0, "", ""
	for i := range e.wants {
		w := &e.wants[i]
		if w.content.unlike || !q.matches(w.Path) {
			continue
		}
		have, ok := side.whole(w.Path)
		switch {
		case !ok:
		case w.castTo(have.DType):
			e.unproven = append(e.unproven, w.Path)
			e.uncertain(w.Want)
			if casts++; casts == 1 {
				cast = fmt.Sprintf("%s from %v to %v", w.Path, w.DType, have.DType)
			}
		case !w.content.comparable(have):
			e.unproven = append(e.unproven, w.Path)
			if !proven() {
				e.uncertain(w.Want)
			}
			if n++; n == 1 {
				example = w.Path
			}
		}
	}
	if n > 0 {
		e.doubt("%s compared by name, shape and dtype only, since their hashes cannot be compared: %s; %s computes those that are missing", tensor.Count(n, "tensor"), andMore(example, n), reread(c.revision, reference.revision))
	}
	if casts > 0 {
		e.doubt("%s cast, statistics compared where both sides have them: %s", tensor.Count(casts, "tensor"), andMore(cast, casts))
	}
}

// reread is the command that takes the hashes that one of the revisions lacks.
func reread(c, reference *registry.Revision) string {
	if c.Hashed && !reference.Hashed {
		return reference.Reread()
	}
	return c.Reread()
}

// longestLineage bounds how many exports in a row are followed.
const longestLineage = 8

// madeOf reports that c was made of from by exports alone, each of which proved the bytes
// that it moved and changed no value. The last of them alone is the comparison's own.
func (q *Question) madeOf(c, from *modelView) bool {
	made := c.revision
	for i := range longestLineage {
		source, err := c.snapshot.Find(made.Source)
		if made.Source == "" || err != nil || source.Ref() != made.Source {
			return false
		}
		last := source.Ref() == from.revision.Ref()
		if last && i == 0 {
			return true
		}
		link := Question{Statuses: []string{arch.Missing, arch.Extra, arch.Changed}, Against: source.Ref(), Arch: q.Arch}
		found, err := link.Of(c.ctx, c.snapshot, made)
		if err != nil || len(found.Gaps)+len(found.Uncompared) > 0 {
			return false
		}
		if last {
			return true
		}
		made = source
	}
	return false
}

// andMore is an example, marked when there are more.
func andMore(example string, n int) string {
	if n == 1 {
		return example
	}
	return example + " …"
}
