package disk

import "time"

// LargeWrite and smallPiece are what is written at once, up to the next multiple in
// the file: the page cache then takes it as one piece, and has less to do for each
// byte the larger it is: 256 MiB in 67 ms by 512 KiB, in 81 ms by 128 KiB.
const (
	LargeWrite = 512 << 10
	smallWrite = 128 << 10
)

// Where a virtual machine has given free memory back to its host, large pieces of it
// are the first to be gone: the same 256 MiB then take 700 ms by 512 KiB and still
// 81 ms by 128 KiB. After patience pieces in a row that took slowdown times as long as
// the quickest, the next respite bytes are written by small ones.
const (
	patience = 3
	slowdown = 4
	respite  = 512 << 20
)

// Pace decides how a file is written. The zero value is ready to use.
type Pace struct {
	quickest float64 // seconds a byte
	slow     int     // large pieces in a row that were slow
	respite  int64   // bytes yet to be written by small pieces
}

// Next is how many of n bytes at an offset to write now.
func (p *Pace) Next(at, n int64) int64 {
	size := int64(LargeWrite)
	if p.respite > 0 {
		size = smallWrite
	}
	return min(size-at%size, n)
}

// Took says how long writing n bytes took.
func (p *Pace) Took(n int64, d time.Duration) {
	if p.respite > 0 {
		p.respite -= n
		return
	}
	if n < smallWrite {
		return
	}
	pace := d.Seconds() / float64(n)
	if p.quickest == 0 || pace < p.quickest {
		p.quickest = pace
	}
	if pace < slowdown*p.quickest {
		p.slow = 0
		return
	}
	if p.slow++; p.slow == patience {
		p.slow, p.respite = 0, respite
	}
}
