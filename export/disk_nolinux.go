//go:build !linux

package export

import "os"

// reserve sets a file's size.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }

// dropCache does nothing here: what is read back may come from memory.
func dropCache(*os.File) {}

// moveFolder renames a folder; a target that exists is an error.
func moveFolder(from, to string) error { return moveChecked(from, to) }
