//go:build unix

package registry

import (
	"io/fs"
	"syscall"
)

// namesOf is how many names (hard links) a file has.
func namesOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Nlink)
	}
	return 1
}
