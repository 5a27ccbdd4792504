package zipfile

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// proofBuffer is how much is read at once only for its checksum.
const proofBuffer = 1 << 20

// Shared opens records that are read in part, by several readers, or in another order
// than from front to back. All readers of a record are one, which knows what was read
// of it. The zero value is ready to use.
type Shared struct {
	Budget  Budget // Hold counts in it
	Again   Again
	mu      sync.Mutex
	readers map[*Record]io.ReaderAt
}

// Hold sets aside the memory to keep a record inflated, if it is deflated. The caller
// does so once for each record that Open will be asked for.
func (s *Shared) Hold(rec *Record) error {
	if !rec.Deflated {
		return nil
	}
	return s.Budget.Hold(rec.Size)
}

// Open gives the bytes of a record of the archive in r.
func (s *Shared) Open(rec *Record, r io.ReaderAt) io.ReaderAt {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.readers[rec]
	if shared == nil {
		if rec.Deflated {
			shared = &held{rec: rec, r: r}
		} else {
			shared = rec.Open(r)
		}
		if s.readers == nil {
			s.readers = map[*Record]io.ReaderAt{}
		}
		s.readers[rec] = shared
	}
	return shared
}

// Prove reads what nobody has read of a record that Open gave, and fails when it is
// damaged.
func (s *Shared) Prove(ctx context.Context, rec *Record, r io.ReaderAt) error {
	if p, ok := s.Open(rec, r).(interface{ prove(context.Context) error }); ok {
		return p.prove(ctx)
	}
	return nil
}

// held is a deflated record that is inflated once, when its first byte is read, and
// kept.
type held struct {
	rec  *Record
	once sync.Once
	r    io.ReaderAt // first of the archive, then of its bytes
	err  error
}

func (h *held) ReadAt(p []byte, off int64) (int, error) {
	if h.once.Do(h.inflate); h.err != nil {
		return 0, h.err
	}
	return h.r.ReadAt(p, off)
}

func (h *held) inflate() {
	var b []byte
	if b, h.err = h.rec.Read(h.r, MaxHeld); h.err == nil {
		h.r = bytes.NewReader(b)
	}
}

func (h *held) prove(context.Context) error {
	h.once.Do(h.inflate)
	return h.err
}
