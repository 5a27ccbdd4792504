package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"wreg/export/compute"
	"wreg/export/receipt"
	"wreg/export/staging"
	"wreg/ingest/interrupt"
	"wreg/ingest/sums"
)

// away is the state of an export to a Sink. From a disk it goes shard by shard, so that two are here: the one that is
// written and the one that is sent.
type away struct {
	*writer
	b     *staging.Folder
	units [][]int        // by shard: those with a tensor in it
	files []staging.Sent // by shard, once it is sent

	mu      sync.Mutex
	changed sync.Cond
	left    []int // by shard: units that are not proven
	ready   []int // shards that are, and are not being sent
	here    int   // shards that are on the disk
	most    int   // that may be
	jobs    []staging.Key
	opened  int // of jobs
	running int // of those that are opened
	unsent  int // shards that are ready or being sent
}

// send writes the output to the sink. What is sent is remembered in the staging folder, which stays when this fails.
func (p *Plan) send(ctx context.Context, s *writer, b *staging.Folder) (r *receipt.Receipt, err error) {
	defer s.close()
	a := &away{writer: s, b: b, units: make([][]int, len(p.Shards)), files: make([]staging.Sent, len(p.Shards))}
	for i, u := range s.units {
		for _, t := range p.Tensors[u.first : u.first+u.n] {
			if list := a.units[t.Shard]; len(list) == 0 || list[len(list)-1] != i {
				a.units[t.Shard] = append(list, i)
			}
		}
	}
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	if err := a.shards(ctx); err != nil {
		return nil, err
	}
	if err := s.sources(ctx); err != nil {
		return nil, err
	}
	if err := p.source.unchanged(); err != nil {
		return nil, err
	}
	beside, err := p.beside(ctx, b)
	if err != nil {
		return nil, err
	}
	r = s.receipt(beside)
	data, err := r.JSON()
	if err != nil {
		return nil, err
	}
	last, err := b.Write(receipt.Name, data, !p.o.NoSync)
	if err != nil {
		return nil, err
	}
	for _, f := range append(beside, last) {
		sent := staging.Sent{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256}
		if err := a.file(ctx, sent); err != nil {
			return nil, err
		}
		a.files = append(a.files, sent)
	}
	return r, p.o.Sink.Land(ctx, a.files)
}

// file sends a file that lies in the staging folder.
func (a *away) file(ctx context.Context, f staging.Sent) error {
	in, err := a.b.Root.Open(f.Name)
	if err != nil {
		return err
	}
	return errors.Join(a.plan.o.Sink.Send(ctx, f, interrupt.Reader(ctx, in)), in.Close())
}

// begin finds out what an earlier run sent and wrote.
func (a *away) begin(ctx context.Context) (err error) {
	p := a.plan
	a.fingerprint = p.fingerprint()
	if a.claims, err = a.b.Claims(a.fingerprint, a.tensors); err != nil {
		return err
	}
	if a.journal, err = a.b.OpenJournal(staging.JournalName(0, 0), a.fingerprint); err != nil {
		return err
	}
	a.writer.files = make([]*os.File, len(p.Shards))
	a.sent = make([]*staging.SentShard, len(p.Shards))
	a.output = p.TotalSize
	a.expect(0, p.TotalSize)
	var files []staging.Sent
	var of []int
	for i := range p.Shards {
		if r := a.b.ReadSent(p.Shards[i].Name, a.fingerprint); r != nil && r.Bytes == p.Shards[i].Bytes {
			files, of = append(files, r.Sent), append(of, i)
			a.sent[i] = r
		}
	}
	if len(files) == 0 {
		return nil
	}
	held, err := p.o.Sink.Held(ctx, files)
	if err != nil {
		return err
	}
	for k, i := range of {
		if !held[k] || !a.restore(i, a.sent[i]) {
			a.sent[i] = nil
			continue
		}
		a.files[i] = files[k]
		for _, t := range p.Tensors {
			if t.Shard == i {
				a.advance(2 * t.Bytes)
			}
		}
	}
	for unit, u := range a.writer.units {
		if !slices.ContainsFunc(p.Tensors[u.first:u.first+u.n], func(t PlanTensor) bool { return a.sent[t.Shard] == nil }) {
			a.proofs[unit].done()
		}
	}
	return nil
}

// restore takes over what an earlier run knew of a shard that it sent.
func (a *away) restore(shard int, r *staging.SentShard) bool {
	at := 0
	for i, t := range a.plan.Tensors {
		if t.Shard != shard {
			continue
		}
		if at == len(r.Tensors) || len(r.Tensors[at].Made) != len(a.made[i]) {
			return false
		}
		a.whole[i] = r.Tensors[at].Whole
		copy(a.made[i], r.Tensors[at].Made)
		at++
	}
	for path, d := range r.Checked {
		a.checked.Store(path, d)
	}
	return at == len(r.Tensors)
}

// shards writes what is not sent yet, in the order in which the source is read, and sends each shard when all of it is
// written and read back. A shard is made when its first segment is: not before there is room for it among those that
// are on the disk.
func (a *away) shards(ctx context.Context) error {
	p := a.plan
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.changed.L = &a.mu
	defer context.AfterFunc(ctx, a.wake)()
	a.most = max(2, p.shardsAtOnce())
	a.left = make([]int, len(p.Shards))
	for i := range p.Shards {
		for _, unit := range a.units[i] {
			if !a.proofs[unit].proven() {
				a.left[i]++
			}
		}
		if _, err := a.b.Root.Stat(p.Shards[i].Name); err == nil && a.sent[i] == nil { // an earlier run's
			if err := a.openShard(a.b, i); err != nil {
				return err
			}
			a.here++
		}
	}
	var err error
	if a.jobs, err = a.rest(ctx); err != nil {
		return err
	}
	a.opens, a.proved = a.open, a.unitProven
	var sender sync.WaitGroup
	sender.Go(func() {
		if err := a.sendAll(ctx); err != nil {
			cancel(err)
		}
	})
	all := make([]int, len(a.writer.units))
	for i := range all {
		all[i] = i
	}
	written := slices.DeleteFunc(slices.Clone(all), func(i int) bool { return !a.proofs[i].complete() })
	if err = a.readUnits(ctx, written); err == nil {
		err = a.write(ctx, a.jobs)
	}
	if err == nil {
		err = a.readUnits(ctx, all)
	}
	if err != nil {
		cancel(err)
		sender.Wait()
		return errors.Join(err, a.disownSent(err), a.disown(err))
	}
	sender.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return p.compareStreamed(ctx)
}

// wake has all who wait look again.
func (a *away) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed.Broadcast()
}

// rest lists the segments that are to be written, and has what they are made of come.
func (a *away) rest(ctx context.Context) (jobs []staging.Key, err error) {
	done := map[staging.Key]bool{}
	var old []staging.Key
	for _, j := range a.segments() {
		u := a.writer.units[j.Unit]
		gone := slices.ContainsFunc(a.plan.Tensors[u.first:u.first+u.n], func(t PlanTensor) bool { return a.writer.files[t.Shard] == nil && a.sent[t.Shard] == nil })
		switch {
		case a.proofs[j.Unit].proven():
			done[j] = true
		case a.claims[j] != nil && !gone:
			old = append(old, j)
		}
	}
	kept, err := a.intact(ctx, old)
	if err != nil {
		return nil, err
	}
	a.keep(kept)
	for _, j := range kept {
		done[j] = true
	}
	return slices.DeleteFunc(a.segments(), func(j staging.Key) bool { return done[j] }), a.writer.begin(a.b, done)
}

// open makes the shards that a segment is written to, as soon as there is room for them: one segment after the other,
// so that who waits does so for segments before it, which have all of theirs, and for what is sent. Where neither is
// left, what an earlier run began takes the room: then there is one shard more. done is called when it is written.
func (a *away) open(ctx context.Context, j staging.Key) (done func(), err error) {
	defer context.AfterFunc(ctx, a.wake)() // of this context: it may end without that of the whole, and ends after it
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.opened < len(a.jobs) && a.jobs[a.opened] != j && ctx.Err() == nil {
		a.changed.Wait()
	}
	u := a.writer.units[j.Unit]
	for _, t := range a.plan.Tensors[u.first : u.first+u.n] {
		if a.writer.files[t.Shard] != nil || a.sent[t.Shard] != nil {
			continue
		}
		for a.here >= a.most && a.unsent+a.running > 0 && ctx.Err() == nil {
			a.changed.Wait()
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := a.openShard(a.b, t.Shard); err != nil {
			return nil, err
		}
		a.here++
	}
	a.opened++
	a.running++
	a.changed.Broadcast()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.running--
		a.changed.Broadcast()
	}, context.Cause(ctx)
}

// unitProven counts a unit that is read back: the last one of a shard has it sent.
func (a *away) unitProven(unit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, u := -1, a.writer.units[unit]
	for _, t := range a.plan.Tensors[u.first : u.first+u.n] {
		if t.Shard == last {
			continue
		}
		if last = t.Shard; a.sent[last] != nil {
			continue
		}
		if a.left[last]--; a.left[last] == 0 {
			a.ready = append(a.ready, last)
			a.unsent++
			a.changed.Broadcast()
		}
	}
}

// sendAll sends shards as they become ready, until all are.
func (a *away) sendAll(ctx context.Context) error {
	todo := 0
	for i := range a.plan.Shards {
		if a.sent[i] == nil {
			todo++
		}
	}
	for ; todo > 0; todo-- {
		a.mu.Lock()
		for len(a.ready) == 0 && ctx.Err() == nil {
			a.changed.Wait()
		}
		if ctx.Err() != nil {
			a.mu.Unlock()
			return nil // the cause is known
		}
		shard := a.ready[0]
		a.ready = a.ready[1:]
		a.mu.Unlock()
		if err := a.plan.headerBack(shard, a.writer.files[shard]); err != nil {
			return err
		}
		if err := a.sendShard(ctx, shard); err != nil {
			return err
		}
		a.mu.Lock()
		a.here--
		a.unsent--
		a.changed.Broadcast()
		a.mu.Unlock()
	}
	return nil
}

// disownSent forgets shards that were made of a file which is not what is declared of it.
func (a *away) disownSent(err error) error {
	name := liar(err)
	if name == "" {
		return nil
	}
	var errs []error
	for i, key := range a.plan.keys {
		if !a.plan.stream.Reads(i, name) {
			continue
		}
		u := a.writer.units[key.Unit]
		for _, t := range a.plan.Tensors[u.first : u.first+u.n] {
			errs = append(errs, a.b.RemoveSent(a.plan.Shards[t.Shard].Name))
		}
	}
	return errors.Join(errs...)
}

// sendShard hashes a finished shard, sends it, remembers that, and removes it.
func (a *away) sendShard(ctx context.Context, shard int) error {
	p, f := a.plan, a.writer.files[shard]
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(interrupt.Reader(ctx, f), 0, p.Shards[shard].Bytes+1))
	if err == nil && n != p.Shards[shard].Bytes {
		err = fmt.Errorf("has %d bytes, and was written with %d", n, p.Shards[shard].Bytes)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Shards[shard].Name, err)
	}
	sent := staging.SentShard{Plan: a.fingerprint, Sent: staging.Sent{Name: p.Shards[shard].Name, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, Checked: map[string]sums.Digest{}}
	if err := p.o.Sink.Send(ctx, sent.Sent, interrupt.Reader(ctx, f)); err != nil {
		return err
	}
	for i, t := range p.Tensors {
		if t.Shard == shard {
			sent.Tensors = append(sent.Tensors, staging.SentTensor{Whole: a.whole[i], Made: a.made[i]})
		}
	}
	for _, unit := range a.units[shard] {
		for _, path := range compute.Loads(p.Tensors[a.writer.units[unit].first].tree) {
			if d, ok := a.checked.Load(path); ok {
				sent.Checked[path] = d.(sums.Digest)
			}
		}
	}
	if err := a.b.WriteSent(sent); err != nil {
		return err
	}
	a.files[shard] = sent.Sent
	a.mu.Lock()
	a.writer.files[shard] = nil
	a.mu.Unlock()
	return errors.Join(f.Close(), a.b.Root.Remove(sent.Name))
}
