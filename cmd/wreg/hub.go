package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"wreg/ingest"
	"wreg/ingest/hub"
	"wreg/ingest/remote"
	"wreg/registry"
)

// readsHub marks a command whose arguments may be addresses of the hub.
const readsHub = "reads-hub"

// openCheckpoint opens what lies at a path, or at an address of the hub, of which headers alone are read. old is
// the newest revision when that is of the same commit: then nothing was read.
func (a *app) openCheckpoint(ctx context.Context, path string, o *ingestOptions) (c *ingest.Checkpoint, old *registry.Revision, err error) {
	of := ingest.Options{Jobs: o.jobs, Naming: o.naming}
	if !hub.Names(path) {
		c, err = ingest.Open(ctx, path, of)
		return c, nil, err
	}
	if o.rehash {
		return nil, nil, fmt.Errorf("--rehash %s: over the network headers alone are read; %s", path, fetch(path))
	}
	o.noHash = true
	login, err := hub.ReadLogin()
	if err != nil {
		return nil, nil, err
	}
	p, err := hub.Open(ctx, remote.New(remote.Options{UserAgent: tool, Token: login.Token}), path)
	if err != nil {
		return nil, nil, err
	}
	old, err = a.latest(cmp.Or(o.name, modelName(p.Pin())))
	if err != nil || old != nil && old.Root == p.Pin() && old.Naming == o.naming {
		return nil, old, errors.Join(err, p.Close())
	}
	c, err = ingest.OpenPlace(ctx, p, of)
	return c, nil, err
}
