package sums

import (
	"crypto/sha256"
	"hash"

	"wreg/registry/tensor"
)

// Digest says which bytes something is. Hash is zero unless SHA-256 was taken.
type Digest struct {
	Sum  tensor.Sum
	Hash tensor.Hash
}

// Same reports that two digests agree as far as both were taken.
func (d Digest) Same(e Digest) bool {
	return (d.Sum == e.Sum || d.Sum == tensor.Sum{} || e.Sum == tensor.Sum{}) && (d.Hash == e.Hash || d.Hash.IsZero() || e.Hash.IsZero())
}

// Digester takes a digest of what is written to it.
type Digester struct {
	sum *Summer
	sha hash.Hash // nil: no SHA-256
}

// NewDigester starts a digest, with SHA-256 when sha says so.
func NewDigester(sha bool) *Digester {
	d := &Digester{sum: NewSummer()}
	if sha {
		d.sha = sha256.New()
	}
	return d
}

// Write adds p; it never fails.
func (d *Digester) Write(p []byte) (int, error) {
	if d.sha != nil {
		d.sha.Write(p)
	}
	return d.sum.Write(p)
}

// Reset starts over.
func (d *Digester) Reset() {
	d.sum.Reset()
	if d.sha != nil {
		d.sha.Reset()
	}
}

// Digest is that of everything written since the start or Reset.
func (d *Digester) Digest() (out Digest) {
	out.Sum = d.sum.Sum()
	if d.sha != nil {
		d.sha.Sum(out.Hash[:0])
	}
	return out
}
