package export_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest/ingesttest"
)

// Verifying and exporting end when their context does, wherever they are: among the
// files beside the shards and among the sources, too. What ended lands nothing, and
// finds nothing wrong.
func TestInterrupted(t *testing.T) {
	source := written(t, "hunyuan")
	must(t, os.WriteFile(filepath.Join(source, "vocab.txt"), make([]byte, 1<<20), 0o644))
	dir, _ := exported(t, source, export.Options{})
	ingesttest.Interrupted(t, 50, func(ctx context.Context) error {
		v, err := receipt.Verify(ctx, dir, receipt.Options{Jobs: 1})
		if err == nil && len(v.Faults) > 0 {
			t.Error(v.Faults)
		}
		return err
	})
	out := filepath.Join(t.TempDir(), "out")
	p, err := plan(t, source, export.Options{Out: out, Jobs: 1, NoSync: true})
	must(t, err)
	ingesttest.Interrupted(t, 50, func(ctx context.Context) error {
		_, err := p.Run(ctx)
		if _, gone := os.Stat(out); err != nil && gone == nil {
			t.Error("it landed")
		}
		return errors.Join(err, os.RemoveAll(out))
	})
}
