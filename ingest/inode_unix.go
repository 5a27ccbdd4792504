//go:build unix

package ingest

import (
	"io/fs"
	"syscall"
)

// inode is the file's number on its disk, 0 when the system has none.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
