package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write := func(text string, err error) error {
		return Create(path, func(temp *os.File) error {
			if _, e := os.Lstat(path); e == nil && text == "first" {
				t.Error("the name is there before the file is complete")
			}
			_, e := temp.WriteString(text)
			return errors.Join(e, err)
		})
	}
	full := errors.New("full")
	if err := write("broken", full); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	if err := write("first", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("second", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	got, err := os.ReadFile(path)
	entries, _ := os.ReadDir(dir)
	if err != nil || string(got) != "first" || len(entries) != 1 {
		t.Errorf("%q, %v, %d files", got, err, len(entries))
	}
	path = filepath.Join(dir, "nowhere", "f")
	if e := (*fs.PathError)(nil); !errors.As(write("x", nil), &e) || e.Path != path || !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("into a missing folder: %v", e)
	}
}

// Who asked for a file is told of that one, and not of the temporary one; what is about other files
// stays.
func TestErrorsNameWhatWasAsked(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "other")
	for want, fill := range map[string]func(*os.File) error{
		path: func(temp *os.File) error {
			_, err := temp.Seek(-1, 0)
			return err
		},
		other: func(*os.File) error {
			_, err := os.Open(other)
			return err
		},
	} {
		if e := (*fs.PathError)(nil); !errors.As(Replace(path, fill), &e) || e.Path != want {
			t.Errorf("%v, want one of %s", e, want)
		}
	}
}

func TestBehind(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for link, to := range map[string]string{"a": "b", "b": at("c"), "loop": "loop"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"a": at("c"), "c": at("c"), "absent": at("absent")} {
		if got, err := Behind(at(name)); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	if got, err := Behind(at("loop")); err == nil {
		t.Errorf("a loop leads to %s", got)
	}
}
