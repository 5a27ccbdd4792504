package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRead: a file of as many bytes as may be, and what is refused without being
// read: more, a hole of any size, a folder, a device, nothing.
func TestRead(t *testing.T) {
	const most = 1000
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, size := range map[string]int64{"fits": most, "more": most + 1, "hole": 1 << 40, "empty": 0} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"fits": "", "empty": "", "more": "1001 bytes exceed the 1000", "hole": "1099511627776 bytes exceed the 1000",
		"folder": "a folder is not a regular file", "absent": "no such file"} {
		for in, read := range map[string]func() ([]byte, error){
			"by path":   func() ([]byte, error) { return Read(filepath.Join(dir, name), most) },
			"in a root": func() ([]byte, error) { return ReadIn(root, name, most) },
		} {
			data, err := read()
			var p *fs.PathError
			if want == "" && err != nil || want != "" && (!errors.As(err, &p) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name)) {
				t.Errorf("%s %s: error %v, want %q", name, in, err, want)
			}
			if name == "fits" && len(data) != most {
				t.Errorf("%s %s: %d bytes", name, in, len(data))
			}
		}
	}
}
