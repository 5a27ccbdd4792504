package export_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/registry/arch"
)

// Progress never goes back, never past its total, and ends there: of a whole
// export, of one that goes on, of a share and of landing the shares.
func TestProgress(t *testing.T) {
	src, dir := written(t, "hunyuan"), t.TempDir()
	run := func(name string, o export.Options, part bool) int64 {
		t.Helper()
		var was, whole int64
		o.Jobs, o.NoSync = 1, true
		o.Progress = func(done, total int64) {
			if done < was || done > total || whole != 0 && total != whole {
				t.Errorf("%s: %d of %d after %d of %d", name, done, total, was, whole)
			}
			was, whole = done, total
		}
		p, err := plan(t, src, o)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := p.Run(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		if was != whole || !part && whole != p.TotalSize {
			t.Errorf("%s: ended at %d of %d; the output has %d bytes", name, was, whole, p.TotalSize)
		}
		return whole
	}
	run("whole", export.Options{Out: filepath.Join(dir, "whole")}, false)
	quantize := &export.Quantize{Group: 32}
	all := run("quantized", export.Options{Out: filepath.Join(dir, "quantized"), Quantize: quantize}, false)

	out := filepath.Join(dir, "out")
	for range 2 { // the second time all is there already
		if first := run("share", export.Options{Out: out, Quantize: quantize, Part: 1, Parts: 2}, true); first <= 0 || first >= all {
			t.Errorf("a share of %d bytes of %d", first, all)
		}
	}
	run("half is there", export.Options{Out: out, Quantize: quantize, Resume: true}, false)
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	for k := 1; k <= 2; k++ {
		run("share", export.Options{Out: out, Quantize: quantize, Part: k, Parts: 2}, true)
	}
	run("landing", export.Options{Out: out, Quantize: quantize, Finish: true}, false)
}

// The words of an error that lists gaps.
func TestGapErrorCounts(t *testing.T) {
	for n, want := range map[int]string{1: "m@1 cannot be exported: 1 gap", 2: "m@1 cannot be exported: 2 gaps"} {
		got := (&export.GapError{Model: "m@1", Gaps: make([]arch.Gap, n)}).Error()
		if first, _, _ := strings.Cut(got, "\n"); first != want {
			t.Errorf("%d gaps: %q, want %q", n, first, want)
		}
	}
}
