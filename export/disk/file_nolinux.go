//go:build !linux

package disk

import "os"

// Reserve sets a file's size.
func Reserve(f *os.File, size int64) error { return f.Truncate(size) }

// CopyRange copies nothing: bytes are read and written.
func CopyRange(*os.File, int64, *os.File, int64, int64) int64 { return 0 }

// StartWriting does nothing here: fsync comes at the end.
func StartWriting(*os.File, int64, int64) {}

// Settle makes a file durable. What is read back may still come from memory.
func Settle(f *os.File, _, _ int64) error { return f.Sync() }

// Move renames a folder; a target that exists is an error.
func Move(from, to string) error { return moveChecked(from, to) }
