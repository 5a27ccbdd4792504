//go:build !linux && !darwin && !freebsd

package disk

import (
	"os"
	"path/filepath"
)

// Free is unknown here; a full disk is met while writing.
func Free(string) (int64, bool) { return 0, false }

// Held is asked for where Free is known only.
func Held(string) int64 { return 0 }

// Lock opens a folder. Nothing here keeps two exports to one target apart. It is opened
// through the folder above it, since Windows neither renames nor removes a folder that
// os.Open holds.
func Lock(path string, _ bool) (*os.File, error) {
	return os.OpenInRoot(filepath.Dir(path), filepath.Base(path))
}
