package cpu

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is the time that this thread has computed. What it had to wait for others to
// have the core is no part of it.
func clock() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
