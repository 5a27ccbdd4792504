package gaps

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// leastLayers is how many layers make a majority worth following.
const leastLayers = 3

// expectLayers is the consensus of a model's own layers: what more than half of
// them hold, with the shape and dtype that more than half have, all must hold.
func (q *Question) expectLayers(c *modelView) (*expectation, error) {
	e := &expectation{against: againstLayers}
	stacks := map[string]map[int64]bool{} // text before the layer's number: layers there
	slots := map[string]*slot{}
	var order []*slot
	c.each(false, func(t tensor.Info) bool {
		template, index := tensor.SplitPath(t.Path)
		k, at, _ := tensor.LayerOf(template)
		if k < 0 || k >= len(index) {
			return true // not of a layer
		}
		prefix := tensor.JoinPath(template[:at], index[:k])
		if stacks[prefix] == nil {
			stacks[prefix] = map[int64]bool{}
		}
		stacks[prefix][index[k]] = true
		others := slices.Clone(index)
		others[k] = -1
		name := tensor.JoinPath(template, others)
		s := slots[name]
		if s == nil {
			s = &slot{stack: prefix, template: template, index: others, layer: k, forms: map[string]*form{}}
			slots[name] = s
			order = append(order, s)
		}
		s.add(t)
		return true
	})
	var short []string // stacks of too few layers: no majority, no claim
	for _, prefix := range slices.Sorted(maps.Keys(stacks)) {
		if n := len(stacks[prefix]); n < leastLayers {
			short = append(short, fmt.Sprintf("%s has %s", strings.TrimSuffix(prefix, "."), tensor.Count(n, "layer")))
		}
	}
	if len(short) == len(stacks) {
		return nil, fmt.Errorf("%s has fewer than %d layers, too few for a majority to compare with", c.revision.Ref(), leastLayers)
	}
	if len(short) > 0 {
		e.notes = append(e.notes, fmt.Sprintf("not compared, too few for a majority: %s", andMore(short[0], len(short))))
	}
	e.extra = func(path string) string {
		template, index := tensor.SplitPath(path)
		k, _, _ := tensor.LayerOf(template)
		if k < 0 || k >= len(index) {
			return ""
		}
		index[k] = -1
		s := slots[tensor.JoinPath(template, index)]
		if len(stacks[s.stack]) < leastLayers {
			return ""
		}
		return fmt.Sprintf("only %d of %d layers have it", s.count, len(stacks[s.stack]))
	}
	named := false
	for _, s := range order {
		layers := stacks[s.stack]
		if len(layers) < leastLayers || 2*s.count <= len(layers) {
			continue
		}
		f := s.majority(len(layers))
		for _, layer := range slices.Sorted(maps.Keys(layers)) {
			index := slices.Clone(s.index)
			index[s.layer] = layer
			w := want{Want: arch.Want{Path: tensor.JoinPath(s.template, index)}, reason: fmt.Sprintf("missing in layer %d; %d of %d layers have it", layer, s.count, len(layers))}
			if f != nil {
				w.Shape, w.DType = f.shape, f.dtype
			}
			named = named || q.matches(w.Path)
			e.wants = append(e.wants, w)
		}
	}
	if !named && !(q.asks(arch.Extra) && q.namesPresent(c)) {
		return nil, fmt.Errorf("nothing that most layers of %s have matches %s: there is nothing to compare with", c.revision.Ref(), q.patternText())
	}
	return e, nil
}

// slot is a place in a layer: all that differs between its tensors is the layer.
type slot struct {
	stack, template string
	index           []int64
	layer           int // which number counts layers
	count           int
	forms           map[string]*form
}

// form is a shape and dtype that some of a slot's tensors have.
type form struct {
	shape tensor.Shape
	dtype tensor.DType
	count int
}

func (s *slot) add(t tensor.Info) {
	s.count++
	key := t.DType.String() + t.Shape.String()
	if s.forms[key] == nil {
		s.forms[key] = &form{shape: slices.Clone(t.Shape), dtype: t.DType}
	}
	s.forms[key].count++
}

// majority is the form that more than half of the layers have, or nil.
func (s *slot) majority(layers int) *form {
	for _, f := range s.forms {
		if 2*f.count > layers {
			return f
		}
	}
	return nil
}
