package export

import "sync"

// progress counts what an export has still to do: each byte is written once and
// read back once, a byte that a killed export left is read twice. It is told in
// bytes of output, so that rate and time left mean what a user takes them for.
type progress struct {
	mu     sync.Mutex
	tell   func(done, total int64) // nil: nobody asks
	output int64                   // bytes of output of this run
	done   int64                   // bytes read and written
	work   int64                   // bytes to read and write in all
}

// expect says what is left to do: bytes to read only, and bytes to write and read.
func (p *progress) expect(read, write int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.work = p.done + read + 2*write
}

// advance counts n bytes that were read or written.
func (p *progress) advance(n int64) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.done >= p.work {
		p.tell(p.output, p.output)
		return
	}
	p.tell(int64(float64(p.output)*float64(p.done)/float64(p.work)), p.output)
}
