//go:build unix

package ingest

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNamedPipe: a pipe called like a shard is refused; opening it would wait for
// a writer for ever.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"model.safetensors", "config.json"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, filepath.Join(dir, name)} {
			if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), name+": a named pipe") {
				t.Errorf("%s: error %v", path, err)
			}
		}
		dir = t.TempDir()
		writeFiles(t, dir, map[string]string{"model.safetensors": shard(t, 1, "a")})
	}
}
