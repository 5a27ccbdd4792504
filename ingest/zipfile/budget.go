package zipfile

import "fmt"

const (
	// MaxHeld bounds the bytes of deflated records that are kept inflated, all together.
	// A deflated record can only be read from its start: to read it in another order is
	// to inflate it again and again, unless all of it is kept.
	MaxHeld = 256 << 20
	// MaxPieces bounds the pieces that tensors are put together from whose elements do
	// not lie in order, all together: each is a read of its own, and may be of one
	// element. A table of 256,000 rows and 4 GiB that is turned is 2^28 of them.
	MaxPieces = 1 << 29
)

// Budget is what the tensors of a file, or of a checkpoint, take when they are read.
type Budget struct{ Held, Pieces int64 }

// Hold counts n bytes that are kept inflated.
func (b *Budget) Hold(n int64) error {
	if b.Held += n; b.Held > MaxHeld {
		return fmt.Errorf("deflated records that are not read from front to back take %d bytes inflated, more than %d: unpack the archive and pack it again without compression (zip -0)", b.Held, MaxHeld)
	}
	return nil
}

// Gather counts n pieces.
func (b *Budget) Gather(n int64) error {
	if b.Pieces += min(n, MaxPieces+1); b.Pieces > MaxPieces {
		return fmt.Errorf("tensors whose elements do not lie in order take more than %d reads: save them in order (contiguous() in torch, ascontiguousarray() in numpy)", MaxPieces)
	}
	return nil
}
