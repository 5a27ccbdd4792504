package rows

import (
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// coverage counts tensors for which a query asks what was never taken. A where
// nans > 0 that finds nothing because nothing was counted must not look like a clean
// bill of health.
type coverage struct {
	needs         need // what the query decides by
	rows          int
	hashes, stats lack
}

// lack is how many tensors have none of something, and a revision of theirs.
type lack struct {
	n  int
	of *source
}

func (l *lack) add(n int, of *source) {
	if n > 0 {
		l.n, l.of = l.n+n, of
	}
}

// see takes in a part's rows.
func (c *coverage) see(p *part) {
	if c.needs == 0 {
		return
	}
	n := p.len()
	c.rows += n
	if c.needs&needsHash != 0 {
		hashes := p.block.Hashes()
		if h, same := hashes.Const(); same && h.IsZero() {
			c.hashes.add(n, p.source)
		} else if !same {
			c.hashes.add(p.without(func(row int) bool { return hashes.At(row).IsZero() }), p.source)
		}
	}
	if d, same := p.block.DTypes().Const(); c.needs&needsStats == 0 || same && integer(tensor.DType(d)) {
		return
	}
	has := p.block.HasStats()
	if v, same := has.Const(); same && v == 0 {
		c.stats.add(n, p.source)
	} else if !same {
		c.stats.add(p.without(func(row int) bool { return has.At(row) == 0 }), p.source)
	}
}

// seeGaps takes in gaps.
func (c *coverage) seeGaps(gaps []arch.Gap, of *source) {
	for i := range gaps {
		have := gaps[i].Have
		if have == nil || c.needs == 0 {
			continue
		}
		c.rows++
		if c.needs&needsHash != 0 && have.Hash.IsZero() {
			c.hashes.add(1, of)
		}
		if c.needs&needsStats != 0 && have.Stats == nil && !integer(have.DType) {
			c.stats.add(1, of)
		}
	}
}

// integer reports types that cannot hold what statistics look for.
func integer(d tensor.DType) bool { return d >= tensor.Bool && d <= tensor.I64 }

// without counts rows of the part.
func (p *part) without(lacks func(row int) bool) (n int) {
	q := *p // which stays a grid
	q.list()
	for _, row := range q.rows {
		if lacks(int(row)) {
			n++
		}
	}
	return n
}

// verdict is an error when the question could not be answered for any tensor, and
// a note when not for all.
func (c *coverage) verdict() (note string, err error) {
	switch {
	case c.rows == 0:
	case c.hashes.n == c.rows:
		return "", fmt.Errorf("%s: the query asks for hashes, which are not known: %s", c.hashes.of.Ref(), c.hashes.why())
	case c.stats.n == c.rows:
		return "", fmt.Errorf("%s: the query asks for statistics, which are not known of these tensors: %s", c.stats.of.Ref(), c.stats.why())
	case c.hashes.n > 0:
		return fmt.Sprintf("%d of %d tensors have no known hash: %s: %s", c.hashes.n, c.rows, c.hashes.of.Ref(), c.hashes.why()), nil
	case c.stats.n > 0:
		return fmt.Sprintf("%d of %d tensors have no known statistics; types without numbers have none: %s: %s", c.stats.n, c.rows, c.stats.of.Ref(), c.stats.why()), nil
	}
	return "", nil
}

// unread says what of the columns shown is not known because it was never read, "" nothing. What has no
// value for other reasons is shown as that.
func (c *coverage) unread() string {
	for _, x := range []struct {
		lack
		what string
	}{{c.hashes, "hashes"}, {c.stats, "statistics"}} {
		if x.n > 0 && x.of.never() {
			return fmt.Sprintf("the %s of %d of %d tensors are not known: %s: %s", x.what, x.n, c.rows, x.of.Ref(), x.why())
		}
	}
	return ""
}

// why says why something is not known, and what makes it known.
func (l lack) why() string {
	how := "not taken"
	if l.of.never() {
		how = "never read"
	}
	return how + "; " + l.of.Reread() + " takes them"
}

// never reports that of some files nothing but headers was read.
func (s *source) never() bool {
	least := tensor.Least(s.Files)
	return least == tensor.TrustHeader || least == tensor.TrustUnset && !s.Hashed
}
