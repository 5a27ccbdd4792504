package zipfile

import (
	"fmt"
	"sync/atomic"
)

const (
	// MaxHeld bounds the bytes of deflated records that are kept inflated, all together.
	// A deflated record can only be read from its start: to read it in another order is
	// to inflate it again and again, unless all of it is kept.
	MaxHeld = 256 << 20
	// MaxPieces bounds the pieces that tensors are put together from whose elements do
	// not lie in order, all together: each is a read of its own, and may be of one
	// element. A table of 256,000 rows and 4 GiB that is turned is 2^28 of them.
	MaxPieces = 1 << 29
	// MaxAgain bounds what is read more than once, all together, because tensors are not
	// read in order whose elements do not lie in order: bytes, and ReadCost for each read.
	MaxAgain = 256 << 30
	ReadCost = 512
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

// Again counts what is read more than once while tensors are read. The zero value is
// ready to use; a nil one does not count.
type Again struct {
	spent atomic.Int64
	all   atomic.Pointer[Again]
}

// Within makes all count what a counts.
func (a *Again) Within(all *Again) { a.all.Store(all) }

// Spend counts n bytes.
func (a *Again) Spend(n int64) error {
	if a == nil {
		return nil
	}
	if all := a.all.Load(); all != nil {
		return all.Spend(n)
	}
	if a.spent.Add(n) > MaxAgain {
		return fmt.Errorf("tensors whose elements do not lie in order are read again and again, more than %d bytes: save them in order (contiguous() in torch, ascontiguousarray() in numpy)", int64(MaxAgain))
	}
	return nil
}
