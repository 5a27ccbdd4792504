package whole

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// blob is a file in memory; and one elsewhere, which gives out one stream after the other.
type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }

type streamed struct {
	blob
	streams [][]byte
	given   int
}

func (s *streamed) Stream(_ context.Context, off int64, afresh bool) io.ReadCloser {
	if off != 0 || afresh != (s.given > 0) {
		return io.NopCloser(iotest.ErrReader(fmt.Errorf("reading %d begins at %d, afresh %v", s.given, off, afresh)))
	}
	s.given++
	return io.NopCloser(iotest.HalfReader(bytes.NewReader(s.streams[s.given-1])))
}

func digestOf(data []byte) string { return tensor.Hash(sha256.Sum256(data)).String() }

func random(n int) []byte {
	data, r := make([]byte, n), rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// Whatever a pass reads, the digest is that of the file.
func TestRead(t *testing.T) {
	for _, n := range []int{0, 1, stretch - 1, stretch, stretch + 1, 3*stretch + 7} {
		data := random(n)
		info := tensor.File{Name: "f", Size: int64(n)}
		for _, reads := range []int64{0, 1, int64(n) / 2, int64(n)} {
			for _, declared := range []string{"", digestOf(data)} {
				var got bytes.Buffer
				info.Digest = declared
				digest, err := Read(t.Context(), blob{bytes.NewReader(data)}, info, func(r io.Reader) error {
					_, err := io.CopyN(&got, iotest.OneByteReader(r), min(reads, 100))
					_, err2 := io.CopyN(&got, r, reads-int64(got.Len()))
					if int64(n) < reads {
						return nil
					}
					return errors.Join(err, err2)
				})
				if err != nil || digest != digestOf(data) || !bytes.Equal(got.Bytes(), data[:got.Len()]) {
					t.Errorf("%d bytes of which %d are read: %s, %v", n, reads, digest, err)
				}
			}
		}
		info.Digest = digestOf(append([]byte{1}, data...))
		_, err := Read(t.Context(), blob{bytes.NewReader(data)}, info, func(io.Reader) error { return nil })
		if e, ok := errors.AsType[*DigestError](err); !ok || e.Want != info.Digest || e.Got != digestOf(data) || !Wrong(err) || !strings.Contains(err.Error(), e.Want) || !strings.Contains(err.Error(), e.Got) {
			t.Errorf("%d bytes of another digest: %v", n, err)
		}
	}
}

// What a pass says of bytes that were not the declared ones does not count: they are read again, and where
// they are wrong again that is the fault.
func TestReadTwice(t *testing.T) {
	good, bad := []byte("right bytes"), []byte("wrong bytes")
	info := tensor.File{Name: "f", Size: int64(len(good)), Digest: digestOf(good)}
	pass := func(r io.Reader) error {
		if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, good) {
			return fmt.Errorf("not what it should be: %q, %v", data, err)
		}
		return nil
	}
	for _, c := range []struct {
		streams [][]byte
		wrong   bool
		given   int
	}{{[][]byte{good}, false, 1}, {[][]byte{bad, good}, false, 2}, {[][]byte{bad, bad}, true, 2}} {
		s := &streamed{streams: c.streams}
		if _, err := Read(t.Context(), s, info, pass); Wrong(err) != c.wrong || !c.wrong && err != nil || s.given != c.given {
			t.Errorf("%q: %v after %d", c.streams, err, s.given)
		}
	}
	refused := errors.New("refused")
	s := &streamed{streams: [][]byte{good}}
	if _, err := Read(t.Context(), s, info, func(io.Reader) error { return refused }); err != refused || Wrong(err) {
		t.Errorf("a pass that refuses sound bytes: %v", err)
	}
}

func TestReadFails(t *testing.T) {
	data := random(2*stretch + 9)
	info := tensor.File{Name: "f", Size: int64(len(data)) + 1}
	if _, err := Read(t.Context(), blob{bytes.NewReader(data)}, info, func(io.Reader) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is cut: %v", err)
	}
	broken := errors.New("broken")
	s := &streamed{streams: [][]byte{nil}}
	info.Size = 0
	if _, err := Read(t.Context(), failing{s, broken}, info, func(r io.Reader) error { _, err := io.ReadAll(r); return err }); !errors.Is(err, broken) {
		t.Errorf("a stream that breaks: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	info.Size = int64(len(data))
	read := 0
	_, err := Read(ctx, blob{bytes.NewReader(data)}, info, func(r io.Reader) error {
		read, _ = r.Read(make([]byte, 10))
		cancel()
		return nil
	})
	if err != context.Canceled || read != 10 {
		t.Errorf("interrupted: %v", err)
	}
}

type failing struct {
	*streamed
	err error
}

func (f failing) Stream(context.Context, int64, bool) io.ReadCloser {
	return io.NopCloser(iotest.ErrReader(f.err))
}

// Tensors that are hashed on the way are as they are when they are read by themselves.
func TestTensors(t *testing.T) {
	data := random(5*stretch + 1000)
	list := []*tensor.Info{
		{Path: "a", DType: tensor.U8, Shape: tensor.Shape{100}, Offset: 64, Bytes: 100},
		{Path: "empty", DType: tensor.U8, Shape: tensor.Shape{0}, Offset: 164, Bytes: 0},
		{Path: "b", DType: tensor.F32, Shape: tensor.Shape{4, 256, 256}, Offset: 200, Bytes: 4 * 4 * 256 * 256},
		{Path: "c", DType: tensor.BF16, Shape: tensor.Shape{1000}, Offset: int64(len(data)) - 2000, Bytes: 2000},
	}
	slices.Reverse(list)
	if !InOrder(list, func(i *tensor.Info) *tensor.Info { return i }) || list[0].Path != "a" || list[1].Path != "empty" {
		t.Fatalf("order: %v", list)
	}
	h := sums.NewHasher(sums.Options{})
	var done []int
	var header []byte
	err := Tensors(t.Context(), h, iotest.HalfReader(bytes.NewReader(data)), 64, func(b []byte) error { header = b; return nil }, list, func(i int) { done = append(done, i) })
	if err != nil || !slices.Equal(done, []int{0, 1, 2, 3}) || !bytes.Equal(header, data[:64]) {
		t.Fatalf("%v, %v, %d bytes of header", err, done, len(header))
	}
	for _, got := range list {
		want := tensor.Info{Path: got.Path, DType: got.DType, Shape: got.Shape, Offset: got.Offset, Bytes: got.Bytes}
		if err := h.Hash(t.Context(), &want, io.NewSectionReader(bytes.NewReader(data), want.Offset, want.Bytes)); err != nil {
			t.Fatal(err)
		}
		if got.Hash != want.Hash || got.Sum != want.Sum || !slices.Equal(got.Slices, want.Slices) || got.Stats != nil != (want.Stats != nil) || got.Stats != nil && *got.Stats != *want.Stats {
			t.Errorf("%s: %+v, by itself %+v", got.Path, got, want)
		}
	}
	if err := Tensors(t.Context(), h, bytes.NewReader(data[:1000]), 64, func([]byte) error { return nil }, list, func(int) {}); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("a stream that ends in b: %v", err)
	}
	for _, c := range [][]tensor.Info{{{Offset: -1, Bytes: 2}}, {{Offset: 0, Bytes: 8}, {Offset: 4, Bytes: 8}}, {{Offset: 4, Bytes: 8}, {Offset: 4, Bytes: 8}}} {
		if InOrder(c, func(i tensor.Info) *tensor.Info { return &i }) {
			t.Errorf("%+v can be read in one go", c)
		}
	}
}
