package spool

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/sums"
)

const (
	atOnce    = 256 << 10 // bytes that are hashed and written at once
	noteEvery = 128 << 20 // bytes after which it is noted how far a file has come
)

// Mismatch is a file whose bytes are not the declared ones, read for the first time: what was
// made of it does not count, and it is to be read once more.
type Mismatch struct{ Name, Want, Got string }

func (e *Mismatch) Error() string {
	return fmt.Sprintf("%s: its SHA-256 is %s, declared is %s", e.Name, e.Got, e.Want)
}

// Run reads all files that the plan needs. It waits where as much is kept as may be.
func (s *Spool) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fail(context.Cause(ctx))
	})
	defer stop()
	buf := make([]byte, min(atOnce, s.plan.ahead)) // there is always room for what comes next
	for i := range s.files {
		if s.files[i].whole {
			continue
		}
		if err := s.pull(ctx, i, buf); err != nil {
			s.mu.Lock()
			s.fail(err)
			s.mu.Unlock()
			return err
		}
	}
	return nil
}

// pull reads a file to its end and compares it with what is declared of it.
func (s *Spool) pull(ctx context.Context, i int, buf []byte) error {
	f, x := &s.plan.files[i], &s.files[i]
	s.mu.Lock()
	doubted := s.doubted[f.Name]
	s.mu.Unlock()
	b, err := s.Place.Open(ctx, f.Name)
	if err != nil {
		return err
	}
	defer b.Close()
	r := stream(ctx, b, x.off, f.Size, doubted)
	defer r.Close()
	noted := x.off
	for next := 0; x.off < f.Size; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), f.Size-x.off)])
		if err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = fmt.Errorf("%s: ends at %d of %d bytes", f.Name, x.off+int64(n), f.Size)
			}
			return err
		}
		if err := s.take(i, &next, buf[:n]); err != nil {
			return err
		}
		if x.off-noted >= s.every && x.off < f.Size {
			noted = x.off
			if err := s.note(); err != nil {
				return err
			}
		}
	}
	got := hex.EncodeToString(x.hash.Sum(nil))
	if want, declared := strings.CutPrefix(f.Digest, "sha256:"); declared && got != want {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range f.pieces {
			if !s.pieces[k].off {
				s.held -= s.pieces[k].n
			}
		}
		if err := s.fresh(i, false); err != nil {
			return err
		}
		if doubted {
			return &remote.DigestError{Name: f.Name, Want: want, Got: got}
		}
		return &Mismatch{f.Name, want, got}
	}
	s.mu.Lock()
	x.whole, x.got = true, got
	delete(s.doubted, f.Name)
	s.tidy(i)
	s.mu.Unlock()
	return s.note()
}

// take hashes the next bytes of a file, and keeps what is needed of them. next is the first
// of the file's pieces that does not end before them.
func (s *Spool) take(i int, next *int, data []byte) error {
	f, x := &s.plan.files[i], &s.files[i]
	x.hash.Write(data)
	end := x.off + int64(len(data))
	for k, r := range f.sums {
		if from, to := max(r.Off, x.off), min(r.Off+r.N, end); from < to {
			x.sums[k].Write(data[from-x.off : to-x.off])
		}
	}
	for ; *next < len(f.pieces); *next++ {
		k := f.pieces[*next]
		c := &s.plan.pieces[k]
		if from, to := max(c.off, x.off), min(c.end, end); from < to {
			if err := s.keep(k, from, data[from-x.off:to-x.off]); err != nil {
				return err
			}
		}
		if c.end > end {
			break
		}
	}
	x.off = end
	return nil
}

// keep writes the next bytes of a piece, when there is room and somebody needs it.
func (s *Spool) keep(k int, off int64, data []byte) error {
	c, x, n := &s.plan.pieces[k], &s.pieces[k], int64(len(data))
	s.mu.Lock()
	defer s.mu.Unlock()
	for !x.off && s.err == nil && s.held+n > s.plan.Disk() {
		s.changed.Wait()
	}
	switch {
	case s.err != nil:
		return s.err
	case x.off:
		return nil
	}
	if s.files[c.file].f == nil {
		f, err := s.dir.OpenFile(dataName(c.file), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		s.files[c.file].f = f
	}
	f := s.files[c.file].f
	s.held += n // before it is written: nobody else may take the room
	s.most = max(s.most, s.held)
	s.mu.Unlock()
	_, err := f.WriteAt(data, off)
	s.mu.Lock()
	if err != nil {
		return err
	}
	if x.off { // whoever needed it is done meanwhile
		s.held -= n
		hole(f, off, n)
		return nil
	}
	if x.part == nil {
		x.part = sums.NewSummer()
	}
	x.part.Write(data)
	if x.n += n; x.n == c.end-c.off {
		x.sum, x.part = x.part.Sum(), nil
	}
	s.changed.Broadcast()
	return nil
}

// stream reads a file from off on, by as many ranges at once as the place can.
func stream(ctx context.Context, b place.Blob, off, size int64, doubted bool) io.ReadCloser {
	if s, ok := b.(place.Streamer); ok {
		return s.Stream(ctx, off, doubted)
	}
	return io.NopCloser(io.NewSectionReader(b, off, size-off))
}
