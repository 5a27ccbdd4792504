package disk

import (
	"testing"
	"time"
)

func TestPieces(t *testing.T) {
	var p Pace
	write := func(at int64, d time.Duration) int64 {
		n := p.Next(at, 1<<30)
		p.Took(n, d)
		return n
	}
	const quick, long = time.Millisecond, 10 * time.Millisecond
	if n := write(0, quick); n != LargeWrite {
		t.Fatalf("the first piece has %d bytes", n)
	}
	if n := write(LargeWrite-100, long); n != 100 {
		t.Errorf("100 bytes before a multiple: %d bytes", n)
	}
	if n := p.Next(7, 5); n != 5 {
		t.Errorf("5 bytes left: %d bytes", n)
	}
	// A slow piece now and then is somebody else's doing.
	for range 3 * patience {
		for range patience - 1 {
			write(0, long)
		}
		write(0, quick)
	}
	if n := p.Next(0, 1<<30); n != LargeWrite {
		t.Errorf("slow pieces with quick ones between: %d bytes", n)
	}
	for range patience {
		write(0, long)
	}
	// Small ones follow, however quick, and then a large one is tried.
	for done := int64(0); done < respite; {
		n := write(done, quick)
		if n != smallWrite {
			t.Fatalf("%d slow pieces in a row, then %d bytes: %d bytes", patience, done, n)
		}
		done += n
	}
	if n := p.Next(0, 1<<30); n != LargeWrite {
		t.Errorf("after the respite: %d bytes", n)
	}
}
