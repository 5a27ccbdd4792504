//go:build unix

package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wreg/registry"
)

// fullDisk is how large a file the child may write: a disk that fills up in the
// middle of an ingest.
const fullDisk = 1 << 18

// fullChild writes until the system refuses, and must live on.
func fullChild(path string) error {
	registry.SmallBatches()
	signal.Ignore(syscall.SIGXFSZ) // the write fails with EFBIG instead
	limit := syscall.Rlimit{Cur: fullDisk, Max: fullDisk}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	put := func(model string, layers int) error {
		_, err := r.Put(context.Background(), registry.Revision{Model: model}, moe(layers, 4, 3))
		return err
	}
	if err := put("small", 2); err != nil {
		return err
	}
	err = put("large", 200)
	if err == nil {
		return fmt.Errorf("a file beyond the limit of %d bytes was written", fullDisk)
	}
	fmt.Println("refused:", err)
	if _, _, err := r.Compact(context.Background()); err != nil {
		fmt.Println("compact:", err)
	}
	// What does fit is still served.
	if err := put("after", 2); err != nil {
		return fmt.Errorf("after a refused ingest: %w", err)
	}
	return nil
}

func TestFullDisk(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"=full "+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("refused: model large: ")) || !bytes.Contains(out, []byte("file too large")) {
		t.Fatalf("%v\n%s", err, out)
	}
	r := open(t, path)
	err = r.View(func(s *registry.Snapshot) error {
		models, err := s.Models()
		var names []string
		for _, v := range models {
			names = append(names, v.Ref())
		}
		if got := strings.Join(names, " "); got != "after@1 small@1" {
			t.Errorf("models %s, want those that fit", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
