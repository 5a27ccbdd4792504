package spool

import (
	"cmp"
	"fmt"
	"slices"

	"wreg/ingest/place"
)

// Range is a stretch of a file.
type Range struct {
	File   string
	Off, N int64
}

// Plan says which bytes of which files are needed, by what, and how many of them must be
// kept at once. A job is something that is made of stretches of files. Files are read one
// after the other, each from front to back; jobs are done in the order in which their last
// byte arrives.
type Plan struct {
	files  []file
	pieces []piece // in the order of their bytes
	jobs   []job
	peak   int64
	kept   int64 // bytes of all pieces
	ahead  int64 // Ahead, but for tests
}

// file is one that is read.
type file struct {
	place.Entry
	at     int64 // bytes of the files before it
	pieces []int
	sums   []Range // stretches whose SHA-256 is taken
}

// piece is a stretch that is kept until every job that reads of it is done. Stretches that
// overlap are one piece.
type piece struct {
	file     int
	off, end int64 // in the file
	jobs     []int
}

type job struct {
	pieces []int
	at     int64 // bytes that have been read when its last byte has arrived
}

// NewPlan plans to read files, in this order; jobs and sums say which of their stretches are
// for what. A file that nothing needs is not read. Where holes is false the system gives no
// part of a file back, so that all that is kept of one is one piece.
func NewPlan(files []place.Entry, jobs [][]Range, sums []Range, holes bool) (*Plan, error) {
	p := &Plan{jobs: make([]job, len(jobs)), ahead: Ahead}
	index := map[string]int{}
	type stretch struct {
		Range
		job int
	}
	var all []stretch
	for j, ranges := range jobs {
		for _, r := range ranges {
			if r.N > 0 {
				all = append(all, stretch{r, j})
			}
		}
	}
	needed := map[string]bool{}
	for _, s := range all {
		needed[s.File] = true
	}
	for _, r := range sums {
		needed[r.File] = true
	}
	at := int64(0)
	for _, e := range files {
		if needed[e.Name] {
			index[e.Name] = len(p.files)
			p.files = append(p.files, file{Entry: e, at: at})
			at += e.Size
			delete(needed, e.Name)
		}
	}
	for name := range needed {
		return nil, fmt.Errorf("%s: is not among the files of the place", name)
	}
	inside := func(r Range) error {
		if size := p.files[index[r.File]].Size; r.Off < 0 || r.N < 0 || r.Off > size-r.N {
			return fmt.Errorf("%s: bytes %d:%d are outside its %d", r.File, r.Off, r.Off+r.N, size)
		}
		return nil
	}
	for _, r := range sums {
		if err := inside(r); err != nil {
			return nil, err
		}
		f := &p.files[index[r.File]]
		f.sums = append(f.sums, r)
	}
	slices.SortStableFunc(all, func(a, b stretch) int {
		return cmp.Or(cmp.Compare(index[a.File], index[b.File]), cmp.Compare(a.Off, b.Off))
	})
	for _, s := range all {
		if err := inside(s.Range); err != nil {
			return nil, err
		}
		i, last := index[s.File], len(p.pieces)-1
		if last < 0 || p.pieces[last].file != i || holes && p.pieces[last].end <= s.Off {
			last++
			p.pieces = append(p.pieces, piece{file: i, off: s.Off, end: s.Off})
			p.files[i].pieces = append(p.files[i].pieces, last)
		}
		c := &p.pieces[last]
		c.end = max(c.end, s.Off+s.N)
		if n := len(p.jobs[s.job].pieces); n == 0 || p.jobs[s.job].pieces[n-1] != last {
			p.jobs[s.job].pieces = append(p.jobs[s.job].pieces, last)
			c.jobs = append(c.jobs, s.job)
		}
	}
	for j := range p.jobs {
		if n := len(p.jobs[j].pieces); n > 0 { // the last piece is the one that is read last
			c := &p.pieces[p.jobs[j].pieces[n-1]]
			p.jobs[j].at = p.files[c.file].at + c.end
		}
	}
	p.measure()
	return p, nil
}

// measure finds how many bytes must be kept at once: at the arrival of a job's last byte, all
// that came of the pieces that this job or a later one reads.
func (p *Plan) measure() {
	type event struct {
		at  int64
		add int64 // bytes of a piece that is here, or minus those that nobody needs any more
	}
	var events []event
	for i := range p.pieces {
		c := &p.pieces[i]
		last := int64(0)
		for _, j := range c.jobs {
			last = max(last, p.jobs[j].at)
		}
		n := c.end - c.off
		events = append(events, event{p.files[c.file].at + c.end, n}, event{last, -n})
		p.kept += n
	}
	// What arrives at a moment is here before what was needed until then goes. Between two
	// such moments less is here than at the second: no piece is on its way at either.
	slices.SortFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.add, a.add)) })
	held := int64(0)
	for _, e := range events {
		held += e.add
		p.peak = max(p.peak, held)
	}
}

// Ahead is how many bytes may be kept beyond those that must be, so that reading seldom
// waits for who makes something of them.
const Ahead = 256 << 20

// Disk is how many bytes are kept at once, at most.
func (p *Plan) Disk() int64 { return min(p.peak+p.ahead, p.kept) }

// Network is how many bytes are read.
func (p *Plan) Network() (n int64) {
	for i := range p.files {
		n += p.files[i].Size
	}
	return n
}

// Order lists the jobs as their last bytes arrive.
func (p *Plan) Order() []int {
	order := make([]int, len(p.jobs))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.jobs[a].at, p.jobs[b].at) })
	return order
}

// Reads reports whether a job reads of a file.
func (p *Plan) Reads(j int, name string) bool {
	return slices.ContainsFunc(p.jobs[j].pieces, func(i int) bool { return p.files[p.pieces[i].file].Name == name })
}

// at is the piece of a file that a stretch lies in, -1 when it lies in none.
func (p *Plan) at(i int, off, n int64) int {
	pieces := p.files[i].pieces
	k, found := slices.BinarySearchFunc(pieces, off, func(k int, off int64) int {
		switch c := &p.pieces[k]; {
		case c.end <= off:
			return -1
		case c.off > off:
			return 1
		}
		return 0
	})
	if !found || off+n > p.pieces[pieces[k]].end {
		return -1
	}
	return pieces[k]
}
