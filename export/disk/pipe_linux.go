package disk

import (
	"golang.org/x/sys/unix"
)

// Pipe passes bytes from one file to another as pages of the system's memory: they
// are copied once, not into this process and out again. nil, and a pipe that failed,
// pass nothing.
type Pipe struct{ in, out int }

// NewPipe makes a pipe that holds a large piece, if the system allows; a smaller one
// only takes more calls. Its error is not worth stopping for: nil will do.
func NewPipe() *Pipe {
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC) != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, 2*LargeWrite) // a piece need not begin where a page does
	return &Pipe{in: ends[1], out: ends[0]}
}

// Fill takes up to n bytes of src at off, and says how many.
func (p *Pipe) Fill(src int, off, n int64) int64 {
	if p == nil || p.in < 0 {
		return 0
	}
	k, err := unix.Splice(src, &off, p.in, nil, int(n), 0)
	if err != nil {
		return 0
	}
	return k
}

// Drain writes the n bytes the pipe holds to dst at at. If it cannot, what is left is
// lost and the pipe is closed.
func (p *Pipe) Drain(dst int, at, n int64) (written int64) {
	for written < n {
		to := at + written
		k, err := unix.Splice(p.out, nil, dst, &to, int(n-written), 0)
		if err != nil || k <= 0 {
			p.Close()
			break
		}
		written += k
	}
	return written
}

func (p *Pipe) Close() {
	if p != nil && p.in >= 0 {
		unix.Close(p.in)
		unix.Close(p.out)
		p.in, p.out = -1, -1
	}
}
