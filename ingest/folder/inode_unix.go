//go:build unix

package folder

import (
	"io/fs"
	"syscall"
)

// Inode is the file's number on its disk, 0 when the system has none.
func Inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
