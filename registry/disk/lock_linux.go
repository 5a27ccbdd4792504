package disk

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// LockHolders asks /proc/locks which processes hold or wait for a lock on the
// file: lines of `1: FLOCK ADVISORY WRITE pid major:minor:inode start end`.
func LockHolders(info os.FileInfo) []string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	dev := uint64(st.Dev)
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino)
	// Some file systems show another device to stat than to the lock table.
	inode := fmt.Sprintf(":%d", st.Ino)
	var exact, alike []string
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], inode) {
			continue
		}
		who := "process " + f[4]
		if name, err := os.ReadFile("/proc/" + f[4] + "/comm"); err == nil {
			who = fmt.Sprintf("%s (process %s)", bytes.TrimSpace(name), f[4])
		}
		if f[5] == want {
			exact = append(exact, who)
		}
		alike = append(alike, who)
	}
	if exact == nil {
		exact = alike
	}
	slices.Sort(exact)
	return slices.Compact(exact)
}
