package query

import (
	"errors"
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// expectModel is what another model holds. Where layouts differ, the one in
// layout hf is carried over to mlx by its architecture, on paper: a stack is then
// compared with its experts, hash by hash.
func (q *Query) expectModel(c, reference *checkpoint, o Options) (*expectation, error) {
	e := &expectation{against: reference.revision.Ref(), dropped: map[string]string{}}
	ours, ourErr := resolve(c, o)
	theirs, theirErr := resolve(reference, o)
	if c.err != nil || reference.err != nil {
		return nil, errors.Join(c.err, reference.err)
	}
	mapped := ourErr == nil && theirErr == nil && ours.Layout != theirs.Layout
	switch {
	case mapped && theirs.Layout != arch.MLX:
		e.layout = arch.MLX
		e.wants = made(theirs, reference)
		for _, g := range theirs.Gaps {
			e.notes = append(e.notes, fmt.Sprintf("%s itself lacks %s: %s", reference.revision.Ref(), g.Path, g.Reason))
		}
	case mapped:
		e.layout = arch.MLX
		e.wants = held(reference)
		e.present = carried(ours, c)
		if err := q.reasons(e, c, o); err != nil {
			return nil, err
		}
	default:
		if ourErr == nil {
			e.layout = ours.Layout
		}
		e.wants = held(reference)
	}
	if mapped {
		e.notes = append(e.notes, fmt.Sprintf("layouts differ (%s: %s, %s: %s); compared in layout mlx", c.revision.Ref(), ours.Layout, reference.revision.Ref(), theirs.Layout))
	}
	if reference.err != nil {
		return nil, reference.err
	}
	if len(e.wants) == 0 {
		return nil, fmt.Errorf("%s holds no tensors: there is nothing to compare with", reference.revision.Ref())
	}
	q.noteUncompared(e, c)
	return e, nil
}

// reasons says why a model cannot make what another one holds in layout mlx.
func (q *Query) reasons(e *expectation, c *checkpoint, o Options) error {
	a, config, err := architecture(c, o)
	if err != nil {
		return err
	}
	gaps, err := a.Against(config, arch.MLX, c)
	if err != nil {
		return err
	}
	at := make(map[string]*arch.Gap, len(gaps))
	for i := range gaps {
		at[gaps[i].Path] = &gaps[i]
	}
	for i := range e.wants {
		if g := at[e.wants[i].path]; g != nil {
			e.wants[i].reason, e.wants[i].remedy = g.Reason, g.Remedy
		}
	}
	return nil
}

func resolve(c *checkpoint, o Options) (*arch.Resolution, error) {
	a, config, err := architecture(c, o)
	if err != nil {
		return nil, err
	}
	return a.Resolve(config, c)
}

// held lists a model's tensors as they are.
func held(c *checkpoint) (wants []want) {
	c.each(true, func(t tensor.Info) bool {
		w := want{path: t.Path, shape: t.Shape, dtype: t.DType, content: content{hash: t.Hash}}
		for i, h := range t.Slices {
			w.content.slices = append(w.content.slices, piece{h, fmt.Sprintf("slice %d of %s there", i, t.Path)})
		}
		wants = append(wants, w)
		return true
	})
	return wants
}

// made lists the tensors that a model would have in layout mlx. Their dtype is
// theirs to choose, so it is compared only where it is the source's.
func made(r *arch.Resolution, c *checkpoint) (wants []want) {
	for _, t := range r.Targets {
		w := want{path: t.Path, shape: t.Shape, dtype: t.DType, optional: t.Optional}
		if t.Make != nil {
			w.dtype = t.Make.DType
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
func carried(r *arch.Resolution, c *checkpoint) *mapping {
	m := &mapping{at: map[string]int{}}
	for _, t := range r.Targets {
		if t.Make == nil {
			continue
		}
		known := contentOf(t.Make, c.whole)
		info := tensor.Info{Path: t.Path, DType: t.Make.DType, Shape: t.Make.Shape, Hash: known.hash}
		for _, s := range known.slices {
			info.Slices = append(info.Slices, s.hash)
		}
		info.Bytes, _ = info.Shape.Bytes(info.DType)
		m.at[t.Path] = len(m.list)
		m.list = append(m.list, info)
	}
	return m
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
// compared: equality of bytes is never claimed without hashes.
func (q *Query) noteUncompared(e *expectation, c *checkpoint) {
	var side present = c
	if e.present != nil {
		side = e.present
	}
	n, example := 0, ""
	for i := range e.wants {
		w := &e.wants[i]
		if !q.matches(w.path) {
			continue
		}
		if have, ok := side.whole(w.path); ok && !w.content.comparable(have) {
			if n++; n == 1 {
				example = w.path
			}
		}
	}
	if n > 0 {
		e.notes = append(e.notes, fmt.Sprintf("%d tensors were compared by name, shape and dtype only, as no hashes meet: %s …; wreg verify compares bytes", n, example))
	}
}
