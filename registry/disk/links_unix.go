//go:build unix

package disk

import (
	"io/fs"
	"syscall"
)

// Links is how many hard links, names, a file has.
func Links(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Nlink)
	}
	return 1
}
