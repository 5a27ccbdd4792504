//go:build linux || darwin

package export

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace is the bytes an ordinary user may still write to dir's disk.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	free := float64(s.Bavail) * float64(s.Bsize)
	return int64(math.Min(free, math.MaxInt64/2)), true
}

// lockFolder opens a folder and locks it against other processes, until it is
// closed or the process ends, however it ends.
func lockFolder(path string) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock: %w", err)
	}
	return d, nil
}
