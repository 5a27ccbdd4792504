package zipfile

import "fmt"

// MaxPieces bounds the pieces that tensors are put together from whose elements do
// not lie in order, all together: each is a read of its own, and may be of one
// element. A table of 256,000 rows and 4 GiB that is turned is 2^28 of them.
const MaxPieces = 1 << 29

// Pieces counts them.
type Pieces int64

// Add counts n more.
func (p *Pieces) Add(n int64) error {
	if *p += Pieces(min(n, MaxPieces+1)); *p > MaxPieces {
		return fmt.Errorf("tensors whose elements do not lie in order take more than %d reads: save them in order (contiguous() in torch, ascontiguousarray() in numpy)", MaxPieces)
	}
	return nil
}
