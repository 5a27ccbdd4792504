package rows

import (
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/block"
	"wreg/registry/tensor"
)

// coverage counts tensors for which a query asks what was never taken. A where
// nans > 0 that finds nothing because nothing was counted must not look like a clean
// bill of health.
type coverage struct {
	needs              need // what the query decides by
	rows               int
	noHash, noStats    int
	hashless, statless string // a revision for the message
}

// see takes in a part before where has narrowed it.
func (c *coverage) see(p *part) {
	if c.needs == 0 {
		return
	}
	n := p.len()
	c.rows += n
	if h, same := p.block.Hashes().Const(); c.needs&needsHash != 0 && same && h.IsZero() {
		c.noHash += n
		c.hashless = p.revision.Ref()
	}
	if d, same := p.block.DTypes().Const(); c.needs&needsStats == 0 || same && integer(tensor.DType(d)) {
		return
	}
	has := p.block.HasStats()
	missing := 0
	if v, same := has.Const(); same && v == 0 {
		missing = n
	} else if !same {
		missing = without(has, p)
	}
	if missing > 0 {
		c.noStats += missing
		c.statless = p.revision.Ref()
	}
}

// seeGaps takes in the gaps before where has narrowed them.
func (c *coverage) seeGaps(gaps []arch.Gap, ref string) {
	for i := range gaps {
		have := gaps[i].Have
		if have == nil || c.needs == 0 {
			continue
		}
		c.rows++
		if c.needs&needsHash != 0 && have.Hash.IsZero() {
			c.noHash, c.hashless = c.noHash+1, ref
		}
		if c.needs&needsStats != 0 && have.Stats == nil && !integer(have.DType) {
			c.noStats, c.statless = c.noStats+1, ref
		}
	}
}

// integer reports types that cannot hold what statistics look for.
func integer(d tensor.DType) bool { return d >= tensor.Bool && d <= tensor.I64 }

func without(has block.Ints, p *part) (n int) {
	if !p.listed { // a count over the whole block is close enough for a note
		for i := range has.Len() {
			n += int(1 - has.At(i))
		}
		return min(n, p.len())
	}
	for _, r := range p.rows {
		n += int(1 - has.At(int(r)))
	}
	return n
}

// verdict is an error when the question could not be answered for any tensor, and
// a note when not for all.
func (c *coverage) verdict() (note string, err error) {
	switch {
	case c.rows == 0:
	case c.noHash == c.rows:
		return "", fmt.Errorf("%s was ingested without hashes, so the query cannot be answered: run wreg ingest --rehash", c.hashless)
	case c.noStats == c.rows:
		return "", fmt.Errorf("%s has no statistics for these tensors, so the query cannot be answered: run wreg ingest --rehash", c.statless)
	case c.noHash > 0:
		return fmt.Sprintf("%d of %d tensors have no hash (%s): run wreg ingest --rehash", c.noHash, c.rows, c.hashless), nil
	case c.noStats > 0:
		return fmt.Sprintf("%d of %d tensors have no statistics (%s): types without numbers have none; for others run wreg ingest --rehash", c.noStats, c.rows, c.statless), nil
	}
	return "", nil
}
