package export

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"wreg/export/disk"
)

// TestPipe passes bytes at offsets that fit no page, from a file that is shorter than
// hoped, and to one that cannot be written.
func TestPipe(t *testing.T) {
	src, err := os.Create(filepath.Join(t.TempDir(), "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(t.TempDir(), "dst"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	data := make([]byte, 3*disk.LargeWrite+12345)
	rand.NewChaCha8([32]byte{1}).Read(data)
	if _, err := src.Write(data); err != nil {
		t.Fatal(err)
	}
	s := &writer{files: []*os.File{dst}, shards: make([]shardWriter, 1)}
	p := disk.NewPipe()
	if p == nil {
		t.Fatal("no pipe")
	}
	for _, x := range []struct{ off, at, n, want int64 }{
		{0, 0, 10, 10},
		{1, 7, 4096, 4096},
		{4095, 8191, 3 * disk.LargeWrite, 3 * disk.LargeWrite},
		{0, 4096, int64(len(data)), int64(len(data))},
		{int64(len(data)) - 100, 50, 4096, 100}, // the source ends
		{int64(len(data)), 50, 4096, 0},
	} {
		if got := s.pass(p, src, x.off, 0, x.at, x.n); got != x.want {
			t.Fatalf("%+v: passed %d", x, got)
		}
		got := make([]byte, x.want)
		if _, err := dst.ReadAt(got, x.at); err != nil || !bytes.Equal(got, data[x.off:x.off+x.want]) {
			t.Fatalf("%+v: other bytes (%v)", x, err)
		}
	}
	if s.files[0], err = os.Open(dst.Name()); err != nil {
		t.Fatal(err)
	}
	defer s.files[0].Close()
	if got := s.pass(p, src, 0, 0, 0, 4096); got != 0 {
		t.Errorf("passed %d bytes to a file that is only read", got)
	}
	s.files[0] = dst
	if got := s.pass(p, src, 0, 0, 0, 4096); got != 0 {
		t.Errorf("a pipe that failed, and may hold other bytes, passed %d", got)
	}
	if got := s.pass(nil, src, 0, 0, 0, 4096); got != 0 {
		t.Errorf("no pipe passed %d bytes", got)
	}
}
