package oci

import (
	"bytes"
	"context"
	"io"

	"wreg/ingest/place"
	"wreg/ingest/remote"
)

// Stream reads the layer from off to its end.
func (b *blob) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	if b.ranges == nil { // which proves it
		data, err := b.whole()
		if err != nil {
			return io.NopCloser(failing{err})
		}
		return io.NopCloser(bytes.NewReader(data[min(off, int64(len(data))):]))
	}
	f := b.ranges
	if afresh {
		f = f.Afresh()
		context.AfterFunc(b.ctx, func() { f.Close() })
	}
	return &stream{f.Stream(ctx, off, b.layer.Size-off, remote.StreamAhead), b}
}

// stream is a layer on its way.
type stream struct {
	io.ReadCloser
	b *blob
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = s.b.r.Explain(s.b.ctx, err)
	}
	return n, err
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

var _ place.Streamer = (*blob)(nil)
