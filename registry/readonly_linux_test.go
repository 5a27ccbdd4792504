package registry_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wreg/registry"
)

// asNobody runs fn on a thread of its own without the privileges that let root
// write where the modes of files say no. The thread ends with it.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("capset: %v", err)
	}
}

// What may not be written is read all the same, and refused by name where writing
// was asked for; nothing is left behind.
func TestReadOnlyFiles(t *testing.T) {
	for _, c := range []struct {
		name         string
		folder, file fs.FileMode // 0: no file
		reads        bool
		write        string // part of the error of opening for writing; "" when that works
		compact      string // part of the error of Compact, where it gets there
	}{
		{"file", 0o755, 0o444, true, "cannot be written: open ", ""},
		{"folder", 0o555, 0o644, true, "", "permission denied"},
		{"both", 0o555, 0o444, true, "cannot be written: open ", ""},
		{"unreadable", 0o755, 0o200, false, "permission denied", ""},
		{"folder without a file", 0o555, 0, false, "permission denied", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "r.db")
			if c.file != 0 {
				w := open(t, path)
				put(t, w, "m", moe(2, 1, 1))
				if err := errors.Join(w.Close(), os.Chmod(path, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, c.folder); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(dir, 0o755)
			asNobody(t, func() {
				r, err := registry.Open(path, registry.Options{ReadOnly: true, Timeout: time.Second})
				switch {
				case err == nil:
					if got := mustRead(t, r); !c.reads || len(got.Revisions) != 1 {
						t.Errorf("%d revisions were read, wanted %v", len(got.Revisions), c.reads)
					}
					mustCheck(t, r)
					r.Close()
				case c.reads || !strings.Contains(err.Error(), path):
					t.Errorf("open for reading: %v", err)
				}
				r, err = registry.Open(path, registry.Options{Timeout: time.Second})
				switch {
				case err != nil:
					if c.write == "" || !strings.Contains(err.Error(), c.write) || !strings.Contains(err.Error(), path) {
						t.Errorf("open for writing: %v, want %q of %s", err, c.write, path)
					}
				default:
					_, _, err := r.Compact(context.Background())
					if c.write != "" || err == nil || !strings.Contains(err.Error(), c.compact) || !strings.Contains(err.Error(), dir) {
						t.Errorf("opened for writing; Compact: %v, want %q in %s", err, c.compact, dir)
					}
					put(t, r, "m", moe(2, 1, 2))
					mustCheck(t, r)
					r.Close()
				}
			})
			left, err := os.ReadDir(dir)
			if want := min(1, int(c.file)); err != nil || len(left) != want {
				t.Errorf("%v, %v are in the folder, want %d", left, err, want)
			}
		})
	}
}
