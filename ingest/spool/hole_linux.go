package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// Holes says that the system can give back a part of a file.
const Holes = true

// hole gives back a part of a file. Where a file system cannot, it takes room until the file
// is removed.
func hole(f *os.File, off, n int64) {
	if n > 0 {
		_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}
}
