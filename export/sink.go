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

	"wreg/export/compute"
	"wreg/export/receipt"
	"wreg/export/staging"
	"wreg/ingest/interrupt"
	"wreg/ingest/sums"
)

// away is the state of an export to a Sink: it goes shard by shard, so that the disk holds two, the one that is
// written and the one that is sent.
type away struct {
	*writer
	b     *staging.Folder
	units [][]int        // by shard: those with a tensor in it
	files []staging.Sent // by shard, once it is sent
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

// shards writes and sends one shard after the other.
func (a *away) shards(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	sending := make(chan error, 1)
	sending <- nil
	wait := func() error { // for the shard that is sent; only one is
		err := <-sending
		sending <- nil
		return err
	}
	defer func() { cancel(nil); wait() }()
	for i := range a.plan.Shards {
		if a.sent[i] != nil {
			continue
		}
		open := []int{i}
		for _, unit := range a.units[i] { // codes here, their scales in the next
			u := a.writer.units[unit]
			if next := a.plan.Tensors[u.first+u.n-1].Shard; next > i && a.sent[next] == nil {
				open = append(open, next)
				if err := wait(); err != nil {
					return err
				}
				break
			}
		}
		if err := a.write(ctx, i, open); err != nil {
			return err
		}
		if err := wait(); err != nil {
			return err
		}
		<-sending
		go func() {
			err := a.sendShard(ctx, i)
			if err != nil {
				cancel(err)
			}
			sending <- err
		}()
	}
	return wait()
}

// write writes all of a shard and reads it back.
func (a *away) write(ctx context.Context, shard int, open []int) error {
	for _, i := range open {
		if a.writer.files[i] == nil {
			if err := a.openShard(a.b, i); err != nil {
				return err
			}
		}
	}
	var jobs, old []staging.Key
	var units []int
	for _, unit := range a.units[shard] {
		if a.proofs[unit].proven() {
			continue
		}
		units = append(units, unit)
		for k := range a.writer.units[unit].segments {
			j := staging.Key{Unit: unit, Segment: k}
			if jobs = append(jobs, j); a.claims[j] != nil {
				old = append(old, j)
			}
		}
	}
	kept, err := a.intact(ctx, old)
	if err != nil {
		return err
	}
	a.keep(kept)
	jobs = slices.DeleteFunc(jobs, func(j staging.Key) bool { return slices.Contains(kept, j) })
	if err := a.writer.write(ctx, jobs); err != nil {
		return err
	}
	if err := a.readUnits(ctx, units); err != nil {
		return err
	}
	return a.plan.headerBack(shard, a.writer.files[shard])
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
	a.writer.files[shard] = nil
	return errors.Join(f.Close(), a.b.Root.Remove(sent.Name))
}
