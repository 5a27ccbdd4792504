package export

import (
	"crypto/sha256"
	"hash"

	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// digest says which bytes something is. hash is zero unless SHA-256 was taken.
type digest struct {
	sum  tensor.Sum
	hash tensor.Hash
}

// same reports that two digests agree as far as both were taken.
func (d digest) same(e digest) bool {
	return (d.sum == e.sum || d.sum == tensor.Sum{} || e.sum == tensor.Sum{}) && (d.hash == e.hash || d.hash.IsZero() || e.hash.IsZero())
}

// digester takes a digest of what is written to it.
type digester struct {
	sum *sums.Summer
	sha hash.Hash // nil: no SHA-256
}

func newDigester(sha bool) *digester {
	d := &digester{sum: sums.NewSummer()}
	if sha {
		d.sha = sha256.New()
	}
	return d
}

func (d *digester) write(p []byte) {
	d.sum.Write(p)
	if d.sha != nil {
		d.sha.Write(p)
	}
}

func (d *digester) reset() {
	d.sum.Reset()
	if d.sha != nil {
		d.sha.Reset()
	}
}

func (d *digester) digest() (out digest) {
	out.sum = d.sum.Sum()
	if d.sha != nil {
		d.sha.Sum(out.hash[:0])
	}
	return out
}
