package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Reserve makes room for a file of size bytes, so that a full disk is met before
// anything is written. File systems that cannot are asked for the size alone.
func Reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// CopyRange has the system copy n bytes of src at off to dst at at: none passes
// through this process, and file systems that can share blocks do. It gives how
// many it copied; where it cannot, or src ends, fewer.
func CopyRange(dst *os.File, at int64, src *os.File, off, n int64) (copied int64) {
	for copied < n {
		from, to := off+copied, at+copied
		k, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(n-copied), 0)
		if err != nil || k <= 0 {
			break // what is wrong is met again, and said, by reading and writing
		}
		copied += int64(k)
	}
	return copied
}

// StartWriting has the system write a range to disk, now rather than later.
func StartWriting(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// Settle waits until a range is on the disk and has the system forget it, so that
// reading it back reads the disk. It does not replace fsync.
func Settle(f *os.File, off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), off, n, all)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) { // the file system cannot
		err = f.Sync()
	}
	if err != nil {
		return err
	}
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED)
	return nil
}

// Move renames a folder; a target that exists is an error, even when it is
// an empty folder.
func Move(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system cannot
		return moveChecked(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
