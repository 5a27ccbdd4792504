package export

import (
	"cmp"
	"slices"
	"sync"

	"wreg/export/compute"
	"wreg/export/staging"
	"wreg/registry/tensor"
)

// schedule hands segments to the workers of a writer, the largest first, so that nobody
// is left with a large one at the end. A file system lets one process at a time write
// to a file; of copies, which are little but writing, one is under way in each shard,
// and the other workers make something, or read back what they copied.
type schedule struct {
	mu      sync.Mutex
	changed sync.Cond
	makes   []staging.Key   // segments that are computed
	copies  [][]staging.Key // segments that are copied, by shard
	busy    []bool          // by shard: a copy is under way
	left    int             // segments not yet handed out
	stopped bool
}

func (s *writer) schedule(jobs []staging.Key) *schedule {
	q := &schedule{copies: make([][]staging.Key, len(s.files)), busy: make([]bool, len(s.files)), left: len(jobs)}
	q.changed.L = &q.mu
	for _, j := range jobs {
		if _, ok := s.copied(j); ok && !s.inOrder() {
			shard := s.shard(j)
			q.copies[shard] = append(q.copies[shard], j)
		} else {
			q.makes = append(q.makes, j)
		}
	}
	return q
}

// next waits for something to do; false: all is handed out, or stop was called.
func (q *schedule) next(s *writer) (staging.Key, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.left > 0 && !q.stopped {
		from := q.largest(s)
		if from == nil {
			q.changed.Wait()
			continue
		}
		j := (*from)[0]
		*from = (*from)[1:]
		if from != &q.makes {
			q.busy[s.shard(j)] = true
		}
		if q.left--; q.left == 0 {
			q.changed.Broadcast() // who waits for a shard need not
		}
		return j, true
	}
	return staging.Key{}, false
}

// largest is the list whose first segment is the largest that may be written now.
func (q *schedule) largest(s *writer) (from *[]staging.Key) {
	consider := func(list *[]staging.Key) {
		if len(*list) > 0 && (from == nil || s.bytes((*list)[0]) > s.bytes((*from)[0])) {
			from = list
		}
	}
	consider(&q.makes)
	for i := range q.copies {
		if !q.busy[i] {
			consider(&q.copies[i])
		}
	}
	return from
}

// free says that a segment is copied: the next one may be written to its shard.
func (q *schedule) free(s *writer, j staging.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy[s.shard(j)] = false
	q.changed.Broadcast()
}

// stop lets no more work begin.
func (q *schedule) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.changed.Broadcast()
}

// segments lists all segments, the largest first; those of a source that is streamed as their
// last byte arrives.
func (s *writer) segments() []staging.Key {
	var jobs []staging.Key
	if p := s.plan; p.stream != nil {
		for _, i := range p.stream.Order() {
			jobs = append(jobs, p.keys[i])
		}
		return jobs
	}
	for i := range s.units {
		for k := range s.units[i].segments {
			jobs = append(jobs, staging.Key{Unit: i, Segment: k})
		}
	}
	if s.inOrder() {
		return jobs
	}
	slices.SortStableFunc(jobs, func(a, b staging.Key) int {
		return cmp.Compare(s.units[b.Unit].segments[b.Segment].N, s.units[a.Unit].segments[a.Segment].N)
	})
	return jobs
}

// inOrder reports that segments are written in an order that is not theirs to choose: as a source is
// streamed, or shard by shard.
func (s *writer) inOrder() bool { return s.plan.stream != nil || s.plan.o.Sink != nil }

// copied is the source tensor that a segment is, as it is, when the registry knows
// its checksum: only then is it proven by what is read back.
func (s *writer) copied(j staging.Key) (tensor.Info, bool) {
	u := &s.units[j.Unit]
	path, ok := compute.Plain(u.segments[j.Segment].Node)
	if !ok || s.plan.Tensors[u.first].quant {
		return tensor.Info{}, false
	}
	info, ok := s.plan.source.Lookup(path)
	return info, ok && info.Sum != tensor.Sum{}
}

// shard is the file that a copied segment is written to.
func (s *writer) shard(j staging.Key) int { return s.plan.Tensors[s.units[j.Unit].first].Shard }

// bytes is the size of a job's result.
func (s *writer) bytes(j staging.Key) int64 {
	u := &s.units[j.Unit]
	p := u.segments[j.Segment]
	return compute.SizeOf(p.Node.DType, p.N)
}

// deal deals jobs, the largest first, each to the share that has least: the same
// on every machine.
func deal(jobs []staging.Key, size func(staging.Key) int64, n int) [][]staging.Key {
	shares, load := make([][]staging.Key, n), make([]int64, n)
	for _, j := range jobs {
		k := 0
		for i := range load {
			if load[i] < load[k] {
				k = i
			}
		}
		shares[k] = append(shares[k], j)
		load[k] += size(j) + 1
	}
	return shares
}

// outputBytes is the bytes that jobs write to the output.
func (s *writer) outputBytes(jobs []staging.Key) (n int64) {
	for _, j := range jobs {
		u := &s.units[j.Unit]
		p := u.segments[j.Segment]
		for k := range u.n {
			n += s.plan.Tensors[u.first+k].bytesFor(p.N)
		}
	}
	return n
}
