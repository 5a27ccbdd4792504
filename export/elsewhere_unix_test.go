//go:build unix

package export_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Killed at any moment, an export from elsewhere leaves nothing under the final name, or all
// of it; --resume gives the same folder, reads no file again that was read to its end, and
// of another no more than it takes to note how far it came.
func TestTortureElsewhere(t *testing.T) {
	h := elsewhere(t, golden(t, "hunyuan", 300_000))
	dir := t.TempDir()
	registerFar(t, dir)
	const source = "hf://acme/tiny"
	want := filepath.Join(dir, "want")
	cmd := child(t, source, want, "")
	dots := &bytes.Buffer{}
	cmd.Stdout = dots
	h.Forget()
	run(t, cmd)
	whole, steps := fromCDN(h), dots.Len()
	random := rand.New(rand.NewPCG(3, uint64(os.Getpid())))
	less := false
	for range rounds(t) / 2 {
		out := filepath.Join(dir, "out")
		killAfter(t, child(t, source, out, ""), random.IntN(steps))
		if _, err := os.Stat(out); err != nil {
			h.Forget()
			run(t, child(t, source, out, "resume"))
			less = less || fromCDN(h) < whole
			if n := fromCDN(h); n > whole {
				t.Errorf("%d bytes were read by --resume, %d by all of it", n, whole)
			}
		}
		sameFolder(t, out, want)
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*wreg-partial")); t.Failed() || left != nil {
			t.Fatalf("left %v", left)
		}
	}
	if !less {
		t.Error("no export was killed after a file and before its end")
	}
}

// Memory stays within its bound when what is read is much larger.
func TestMemoryBoundElsewhere(t *testing.T) {
	const allowed = 160 << 20
	elsewhere(t, large(t))
	dir := t.TempDir()
	registerFar(t, dir)
	if peak := peakOf(t, child(t, "hf://acme/tiny", filepath.Join(dir, "out"), ""), dir); peak > allowed {
		t.Errorf("peak of %d MiB exceeds %d", peak>>20, allowed>>20)
	} else {
		t.Logf("peak of %d MiB", peak>>20)
	}
}
