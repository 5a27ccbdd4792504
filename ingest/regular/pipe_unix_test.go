//go:build unix

package regular

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipe: a pipe without a writer, and a device without an end, are not waited
// for: not even a pipe that took the place of a file after that was looked at.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(pipe, 10); err == nil || !strings.Contains(err.Error(), "a named pipe is not a regular file") {
		t.Errorf("pipe: %v", err)
	}
	if _, err := Read("/dev/zero", 10); err == nil || !strings.Contains(err.Error(), "a device is not a regular file") {
		t.Errorf("device: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{"pipe": "a named pipe", "file": ""} {
		_, err := OpenFound(root, name, info)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s in its place: %v", name, err)
		}
	}
}
