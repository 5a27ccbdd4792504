package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"wreg/ingest/artifact"
	"wreg/ingest/headers"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

// What is read whole and held against its digest: JSON (config.json, the index), and of other files those that one
// request for a beginning would bring as well.
const (
	maxWhole     = 32 << 20
	maxWholeRest = 128 << 10
)

// blob is a layer.
type blob struct {
	r     *Repo
	ctx   context.Context
	stop  context.CancelFunc
	name  string
	layer artifact.Layer

	ranges *remote.File    // of one that is read by ranges
	header *headers.Reader // and what is remembered of its header

	once sync.Once // of one that is read whole
	data []byte
	err  error
}

// layer opens a layer under a name; nothing is asked yet.
func (r *Repo) layer(ctx context.Context, l artifact.Layer, name string) *blob {
	b := &blob{r: r, name: name, layer: l}
	b.ctx, b.stop = context.WithCancel(ctx)
	if l.Size <= maxWholeRest || path.Ext(name) == ".json" && l.Size <= maxWhole {
		return b
	}
	b.ranges = r.Client.Open(b.ctx, remote.Source{Name: r.address(name), URL: r.URL("blobs", l.Digest), Size: l.Size, SHA256: strings.TrimPrefix(l.Digest, "sha256:")})
	b.header = r.kept.Through(l.Digest, l.Size, b.ranges)
	return b
}

// open opens a file of the artifact.
func (r *Repo) open(ctx context.Context, f artifact.File) (place.Blob, error) {
	b := r.layer(ctx, f.Layer, f.Name)
	if f.Whole() {
		return b, nil
	}
	return artifact.Stretch(b, f.Name, f.Offset, f.Size), nil
}

// Stat describes the layer as its manifest does.
func (b *blob) Stat() (tensor.File, error) {
	return tensor.File{Name: b.name, Size: b.layer.Size, Digest: b.layer.Digest}, nil
}

// ReadAt reads the layer.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	if b.ranges == nil {
		data, err := b.whole()
		if err != nil {
			return 0, err
		}
		return bytes.NewReader(data).ReadAt(p, off)
	}
	n, err := b.header.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = b.r.Explain(b.ctx, err)
	}
	return n, err
}

// Stream reads the layer from off to its end.
func (b *blob) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	if b.ranges == nil { // brought in one request, and proven
		data, err := b.whole()
		return remote.Held(data, off, err)
	}
	return b.ranges.Rest(ctx, off, afresh, func(err error) error { return b.r.Explain(b.ctx, err) })
}

var _ place.Streamer = (*blob)(nil)

// ReadAhead asks for what will be read next.
func (b *blob) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	if b.ranges == nil || b.header.Known() {
		return nil
	}
	if err := b.ranges.ReadAhead(ctx, ranges); err != nil {
		return b.r.Explain(ctx, err)
	}
	return nil
}

// HeaderRead says that whoever read the header has done so: what was read is remembered for the next time.
func (b *blob) HeaderRead() {
	if b.ranges != nil {
		b.header.Keep()
		b.ranges.Release()
	}
}

// Close gives up what is under way.
func (b *blob) Close() error {
	b.stop()
	b.once.Do(func() { b.err = fs.ErrClosed }) // waits for what is under way
	if b.ranges != nil {
		return b.ranges.Close()
	}
	return nil
}

// whole reads the layer in one request and proves it.
func (b *blob) whole() ([]byte, error) {
	b.once.Do(func() { b.data, b.err = b.fetch() })
	return b.data, b.err
}

func (b *blob) fetch() ([]byte, error) {
	digest, size := b.layer.Digest, b.layer.Size
	if data := b.r.kept.Whole(digest, size); data != nil && b.prove(data) == nil {
		return data, nil
	}
	// What was damaged on the way may come right when it is asked for once more.
	var fault error
	for range 2 {
		answer, err := b.r.Client.Do(b.ctx, remote.Request{Name: b.r.address(b.name), URL: b.r.URL("blobs", digest), Most: max(size, 1)})
		if err != nil {
			return nil, b.r.Explain(b.ctx, err)
		}
		if fault = b.prove(answer.Body); fault == nil {
			b.r.kept.KeepWhole(digest, answer.Body)
			return answer.Body, nil
		}
	}
	return nil, &place.Error{Text: b.r.address(b.name) + ": " + fault.Error(), Cause: fault}
}

// prove holds bytes against the size and digest that the manifest says.
func (b *blob) prove(data []byte) error {
	if int64(len(data)) != b.layer.Size {
		return fmt.Errorf("%d bytes came, and the manifest says %d; push the artifact again", len(data), b.layer.Size)
	}
	sum := sha256.Sum256(data)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != b.layer.Digest {
		return fmt.Errorf("the bytes that came are not those that the manifest names: %s, not %s; what lies between here and the registry changes them", got, b.layer.Digest)
	}
	return nil
}

// printable makes what came harmless.
func printable(s string) string {
	q := fmt.Sprintf("%+.300q", s)
	return q[1 : len(q)-1]
}

var (
	_ place.Headed  = (*blob)(nil)
	_ place.Batched = (*blob)(nil)
)
