//go:build linux || darwin || freebsd

package disk

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

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

// Held is the bytes of the disk that the files of a folder take: those written, and those
// reserved. A folder that is not there takes none.
func Held(path string) (held int64) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		var s unix.Stat_t
		if unix.Lstat(filepath.Join(path, e.Name()), &s) == nil {
			held += int64(s.Blocks) * 512 // as POSIX counts, whatever a disk's blocks are
		}
	}
	return held
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
