//go:build linux || darwin

package disk

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Free is the bytes an ordinary user may still write to dir's disk.
func Free(dir string) (int64, bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	free := float64(s.Bavail) * float64(s.Bsize)
	return int64(math.Min(free, math.MaxInt64/2)), true
}

// Lock opens a folder and locks it against other processes, until it is
// closed or the process ends, however it ends. Several may share it. A file system
// without locks is not an obstacle.
func Lock(path string, shared bool) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	if err := unix.Flock(int(d.Fd()), how|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		d.Close()
		return nil, fmt.Errorf("%s: another export is writing there", path)
	}
	return d, nil
}
