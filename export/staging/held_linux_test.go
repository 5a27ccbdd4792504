package staging

import (
	"os"
	"path/filepath"
	"testing"
)

// Windows neither renames nor removes a folder that is held open. What holds it when it
// lands, or is removed, is its lock alone, which disk.Lock opens as Windows asks.
func TestHeld(t *testing.T) {
	for name, end := range map[string]func(b *Folder, out string) error{
		"landed":  func(b *Folder, out string) error { return b.Land(out, false) },
		"removed": func(b *Folder, _ string) error { return b.Remove() },
	} {
		out := filepath.Join(t.TempDir(), "out")
		b, err := Open(out, false, false)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.Write("config.json", []byte("{}"), false); err != nil {
			t.Fatal(err)
		}
		folder, err := b.Root.Stat(".")
		if err != nil {
			t.Fatal(err)
		}
		if err := end(b, out); err != nil {
			t.Fatal(name, err)
		}
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, fd := range open {
			info, err := os.Stat(filepath.Join("/proc/self/fd", fd.Name()))
			if err == nil && os.SameFile(info, folder) {
				held++
			}
		}
		if held != 1 {
			t.Errorf("%s: held %d times, want once, by its lock", name, held)
		}
	}
}
