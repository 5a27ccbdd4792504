package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"wreg/export"
	"wreg/ingest"
	"wreg/ingest/places"
	"wreg/registry"
)

// readsElsewhere marks a command whose arguments may be addresses of places that are read over the network.
const readsElsewhere = "reads-elsewhere"

// openCheckpoint opens what lies at a path, or at an address of another place, of which headers alone are read, but
// with --verify. old is the newest revision when that is of the same commit and knows what is asked for: then nothing was
// read.
func (a *app) openCheckpoint(ctx context.Context, path string, o *ingestOptions) (c *ingest.Checkpoint, old *registry.Revision, err error) {
	of := ingest.Options{Jobs: o.jobs, Naming: o.naming}
	if !places.Names(path) || places.Local(path) {
		c, err = places.Checkpoint(ctx, path, of)
		return c, nil, err
	}
	o.verify = o.verify || o.rehash
	o.noHash, o.far = !o.verify, true
	meter := a.sourceMeter(path)
	defer meter.stop()
	of.Progress = meter.header
	p, err := places.Open(ctx, path, places.Options{UserAgent: tool, Slots: o.jobs, Notice: meter.notice})
	if err != nil {
		return nil, nil, err
	}
	old, err = a.latest(cmp.Or(o.name, modelName(p.Pin())))
	if err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	if old != nil && !o.rehash && old.Root == p.Pin() && old.Naming == o.naming && o.knownBy(old) {
		if o.more, err = a.canInherit(old); err != nil || !o.more {
			return nil, old, errors.Join(err, p.Close())
		}
	}
	c, err = ingest.OpenPlace(ctx, p, of)
	o.read = meter.bytes.Load()
	return c, nil, err
}

// mustBeHere refuses a revision whose bytes are to be read again and lie elsewhere.
func mustBeHere(v *registry.Revision) error {
	if places.Names(v.Root) && !places.Local(v.Root) {
		return fmt.Errorf("%s lies at %s, and its values are not read over the network; wreg export writes it here, proven against the digests declared there, and a copy that was downloaded can be ingested", v.Ref(), v.Root)
	}
	return nil
}

// gigabit is the bytes a second of a network by which the time that reading takes is told.
const gigabit = 1e9 / 8

// fromElsewhere is what a plan reads over the network, "" when nothing.
func fromElsewhere(p *export.Plan) string {
	if p.Network == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of it only while it runs, for what was read and not yet written), reads %s over the network, %s at 1 Gbit/s", size(p.Spool), size(p.Network), left(float64(p.Network)/gigabit))
}
