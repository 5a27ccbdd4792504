package export

import "time"

// largePiece and smallPiece are what is written at once, up to the next multiple in
// the file: the page cache then takes it as one piece, and has less to do for each
// byte the larger it is: 256 MiB in 67 ms by 512 KiB, in 81 ms by 128 KiB.
const (
	largePiece = 512 << 10
	smallPiece = 128 << 10
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

// pieces decides how a file is written. The zero value is ready to use.
type pieces struct {
	quickest float64 // seconds a byte
	slow     int     // large pieces in a row that were slow
	respite  int64   // bytes yet to be written by small pieces
}

// next is how many of n bytes at an offset to write now.
func (p *pieces) next(at, n int64) int64 {
	size := int64(largePiece)
	if p.respite > 0 {
		size = smallPiece
	}
	return min(size-at%size, n)
}

// took says how long writing n bytes took.
func (p *pieces) took(n int64, d time.Duration) {
	if p.respite > 0 {
		p.respite -= n
		return
	}
	if n < smallPiece {
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
