//go:build !unix

package folder

import "io/fs"

// Inode is the file's number on its disk, 0 when the system has none.
func Inode(fs.FileInfo) uint64 { return 0 }
