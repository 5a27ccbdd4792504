//go:build !linux

package export

import "os"

// reserve sets a file's size.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }

// copyRange copies nothing: bytes are read and written.
func copyRange(*os.File, int64, *os.File, int64, int64) int64 { return 0 }

// startWriting does nothing here: fsync comes at the end.
func startWriting(*os.File, int64, int64) {}

// settle makes a file durable. What is read back may still come from memory.
func settle(f *os.File, _, _ int64) error { return f.Sync() }

// moveFolder renames a folder; a target that exists is an error.
func moveFolder(from, to string) error { return moveChecked(from, to) }
