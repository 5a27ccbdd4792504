package rows

import (
	"wreg/registry/block"
)

// signature is all that a grouping by constants and axes can see of a part. The
// 160 models of a family have eight templates with the same grids, dtypes and
// sizes: they are grouped once each, and counted.
type signature struct {
	shape  *shape
	source *source // when the model is read
	grid   [maxRepeatedAxes]block.Range
	axes   [maxRepeatedAxes]*int64 // of a narrowed axis: narrowing remembers them
	lens   [maxRepeatedAxes]int
	values [maxRepeatedValues]int64
}

const (
	maxRepeatedAxes   = 3
	maxRepeatedValues = 4
)

// repeated is a part and how many more look the same.
type repeated struct {
	part  *part
	times int64
}

// signature is the part's, for the columns given; ok false when there is more to
// see than a signature holds.
func (p *part) signature(set ColumnSet) (s signature, ok bool) {
	if p.listed || len(p.grid) > maxRepeatedAxes {
		return s, false
	}
	s.shape = p.shape
	if set.has(Model) {
		s.source = p.source
	}
	n := 0
	for c := range set.All() {
		row := &columns[c]
		if row.axis != nil {
			continue // the shape and the axes say it
		}
		if row.code == nil || n == maxRepeatedValues {
			return s, false
		}
		if s.values[n], ok = row.code(p); !ok {
			return s, false
		}
		n++
	}
	for k, r := range p.grid {
		s.grid[k] = r
		if p.axes != nil && p.axes[k] != nil {
			if s.lens[k] = len(p.axes[k]); s.lens[k] > 0 {
				s.axes[k] = &p.axes[k][0]
			}
		}
	}
	return s, true
}

// takeRepeated counts a part that looks like an earlier one. ok false: group it.
func (s *Sink) takeRepeated(p *part) (ok bool) {
	sig, ok := p.signature(s.reads)
	if !ok || s.keeps {
		return false
	}
	if r := s.repeated[sig]; r != nil {
		r.times++
		return true
	}
	own := *p
	own.spare = nil
	r := &repeated{part: &own, times: 1}
	if s.repeated == nil {
		s.repeated = map[signature]*repeated{}
	}
	s.repeated[sig] = r
	s.waiting = append(s.waiting, r)
	return true
}

// addRepeated groups the parts that were counted.
func (s *Sink) addRepeated() error {
	for _, r := range s.waiting {
		axes, whole := r.part.reads(s.reads)
		b := r.part.batch(axes, whole)
		b.weight *= r.times
		if err := s.groups.add(b, r.part); err != nil {
			return err
		}
	}
	s.waiting = nil
	return nil
}
