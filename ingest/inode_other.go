//go:build !unix

package ingest

import "io/fs"

// inode is the file's number on its disk, 0 when the system has none.
func inode(fs.FileInfo) uint64 { return 0 }
