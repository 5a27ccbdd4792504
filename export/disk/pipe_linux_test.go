package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A pipe that could not be emptied may hold other bytes: it passes nothing more.
func TestPipeThatFailed(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789"), 1000)
	if err := os.WriteFile(filepath.Join(dir, "src"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(name string, flag int) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), flag|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	src, dst, locked := open("src", os.O_RDONLY), open("dst", os.O_RDWR), open("locked", os.O_RDONLY)
	p := NewPipe()
	if p == nil {
		t.Fatal("no pipe")
	}
	defer p.Close()
	if k := p.Fill(int(src.Fd()), 5, 4096); k != 4096 {
		t.Fatalf("took %d bytes", k)
	}
	if n := p.Drain(int(dst.Fd()), 100, 4096); n != 4096 {
		t.Fatalf("wrote %d bytes", n)
	}
	got := make([]byte, 4096)
	if _, err := dst.ReadAt(got, 100); err != nil || !bytes.Equal(got, data[5:5+4096]) {
		t.Fatalf("other bytes (%v)", err)
	}
	k := p.Fill(int(src.Fd()), 0, 4096)
	if n := p.Drain(int(locked.Fd()), 0, k); n != 0 {
		t.Errorf("wrote %d bytes to a file that is only read", n)
	}
	if k := p.Fill(int(src.Fd()), 0, 4096); k != 0 {
		t.Errorf("a pipe that failed took %d bytes", k)
	}
	if k := (*Pipe)(nil).Fill(int(src.Fd()), 0, 4096); k != 0 {
		t.Errorf("no pipe took %d bytes", k)
	}
}
