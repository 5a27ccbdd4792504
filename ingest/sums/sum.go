// Package sums takes the checksum, the hashes and the statistics of a tensor in one
// pass over its bytes.
//
// Most users need a [Hasher], which one worker reuses from tensor to tensor, or, for
// the checksum alone, a [Summer].
//
// Invariants: every byte is seen once, a stretch at a time that stays in the nearest
// cache from one sum to the next; what a worker holds does not depend on the tensors.
package sums

import (
	"github.com/zeebo/xxh3"

	"wreg/registry/tensor"
)

// Summer takes the XXH3-128 checksum of what is written to it.
type Summer struct{ h *xxh3.Hasher }

// NewSummer starts a checksum.
func NewSummer() *Summer { return &Summer{xxh3.New()} }

// Write adds p; it never fails.
func (s *Summer) Write(p []byte) (int, error) { return s.h.Write(p) }

// Sum is the checksum of everything written since the start or Reset.
func (s *Summer) Sum() tensor.Sum { return s.h.Sum128().Bytes() }

// Reset starts over.
func (s *Summer) Reset() { s.h.Reset() }
