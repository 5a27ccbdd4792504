package export

import (
	"cmp"
	"slices"
	"sync"

	"wreg/registry/tensor"
)

// schedule hands work to the workers of a stream: parts to write, the largest
// first, so that nobody is left with a large one at the end, and units to read
// back, before anything new is written. A file system lets one process at a time
// write to a file; of copies, which are little but writing, copiesAtOnce are under
// way in each shard, so that one reads while the other writes, and more workers
// find something better to do.
type schedule struct {
	mu      sync.Mutex
	changed sync.Cond
	makes   []job   // parts that are computed
	copies  [][]job // parts that are copied, by shard
	busy    []int   // by shard: copies under way
	settled []int   // units that are written and not read back
	running int     // workers that may still settle a unit
	stopped bool
}

// copiesAtOnce bounds the copies under way in one shard.
const copiesAtOnce = 2

// task is what one worker does next: write a part, or, with prove, read the unit
// back.
type task struct {
	job
	prove bool
}

func (s *stream) schedule(jobs []job) *schedule {
	q := &schedule{copies: make([][]job, len(s.files)), busy: make([]int, len(s.files))}
	q.changed.L = &q.mu
	for _, j := range jobs {
		if _, ok := s.copied(j); ok {
			shard := s.shard(j)
			q.copies[shard] = append(q.copies[shard], j)
		} else {
			q.makes = append(q.makes, j)
		}
	}
	return q
}

// next waits for something to do; false: all is done, or stop was called.
func (q *schedule) next(s *stream) (task, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.stopped {
			return task{}, false
		}
		if n := len(q.settled); n > 0 {
			unit := q.settled[n-1]
			q.settled = q.settled[:n-1]
			return task{job{unit: unit}, true}, true
		}
		if from := q.largest(s); from != nil {
			j := (*from)[0]
			*from = (*from)[1:]
			if from != &q.makes {
				q.busy[s.shard(j)]++
			}
			q.running++
			return task{job: j}, true
		}
		if q.running == 0 {
			return task{}, false
		}
		q.changed.Wait()
	}
}

// largest is the list whose first part is the largest that may be written now.
func (q *schedule) largest(s *stream) (from *[]job) {
	consider := func(list *[]job) {
		if len(*list) > 0 && (from == nil || s.bytes((*list)[0]) > s.bytes((*from)[0])) {
			from = list
		}
	}
	consider(&q.makes)
	for i := range q.copies {
		if q.busy[i] < copiesAtOnce {
			consider(&q.copies[i])
		}
	}
	return from
}

// free says that a part is copied: the next one may be written to its shard.
func (q *schedule) free(s *stream, j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy[s.shard(j)]--
	q.changed.Broadcast()
}

// done says that a worker is through with a part; settled, that its unit is to be
// read back now.
func (q *schedule) done(j job, settled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if settled {
		q.settled = append(q.settled, j.unit)
	}
	q.running--
	q.changed.Broadcast()
}

// stop lets no more work begin.
func (q *schedule) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.changed.Broadcast()
}

// jobs lists all parts, the largest first.
func (s *stream) jobs() []job {
	var jobs []job
	for i := range s.units {
		for k := range s.units[i].parts {
			jobs = append(jobs, job{i, k})
		}
	}
	slices.SortStableFunc(jobs, func(a, b job) int {
		return cmp.Compare(s.units[b.unit].parts[b.part].n, s.units[a.unit].parts[a.part].n)
	})
	return jobs
}

// copied is the source tensor that a part is, as it is, when the registry knows
// its checksum: only then is it proven by what is read back.
func (s *stream) copied(j job) (tensor.Info, bool) {
	u := &s.units[j.unit]
	path, ok := plain(u.parts[j.part].node)
	if !ok || s.plan.Tensors[u.first].quant {
		return tensor.Info{}, false
	}
	info, ok := s.plan.source.Lookup(path)
	return info, ok && info.Sum != tensor.Sum{}
}

// shard is the file that a copied part is written to.
func (s *stream) shard(j job) int { return s.plan.Tensors[s.units[j.unit].first].Shard }
