// Package places opens what an address names, wherever that is: each kind of address is a
// row that knows its own.
//
// Most users need [Names] and [Open].
//
// Invariants: an address is one kind's or none's, decided without asking anybody; a place
// that is opened by its own Pin shows the same files.
package places

import (
	"context"
	"fmt"
	"path"
	"strings"

	"wreg/ingest"
	"wreg/ingest/hub"
	"wreg/ingest/oci"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/s3"
	"wreg/ingest/s3/bucket"
	"wreg/ingest/shards"
	"wreg/ingest/stores"
	"wreg/ingest/web"
)

// Options of Open; the zero value is good.
type Options struct {
	UserAgent string
	Slots     int                // requests at once; 0: as many as the client takes
	Notice    func(remote.Event) // progress, waits and retries; called from many goroutines
}

// kind is one kind of address.
type kind struct {
	name  string                      // for people: "the hub"
	names func(address string) bool   // whether an address is of this kind, well written or not
	check func(address string) error  // whether it is well written; asks nobody
	model func(address string) string // what a model there is called when nobody says, "" for the last part of its path
	open  func(ctx context.Context, address string, o Options) (place.Place, error)
	local bool                                 // its files are on this disk
	path  func(address string) (string, error) // where it is a plain folder or file there; then nothing is opened
	shown func(address string) string          // an address without its secrets; nil where it has none
}

// kinds are tried in order.
var kinds = []kind{
	{name: "the hub", names: hub.Names, check: func(a string) error { _, err := hub.Parse(a); return err },
		model: hubModel, open: openHub},
	{name: "a bucket", names: bucket.Names, check: func(a string) error { _, err := bucket.Parse(a); return err },
		model: bucketModel, open: openBucket},
	{name: "a registry of artifacts", names: oci.Names, check: func(a string) error { _, err := oci.Parse(a); return err },
		model: oci.Model, open: openOCI},
	stored(stores.Ollama),
	stored(stores.DockerModel),
	{name: "LM Studio", names: begins(stores.LMStudioScheme), check: func(a string) error { _, err := stores.LMStudio(a); return err },
		local: true, path: stores.LMStudio},
	{name: "the server", names: web.Names, check: web.Check, model: web.ModelName, shown: web.Shown,
		open: func(ctx context.Context, address string, o Options) (place.Place, error) {
			return web.Open(ctx, remote.New(remote.Options{UserAgent: o.UserAgent, Slots: o.Slots, Notice: o.Notice}), address)
		}},
}

// stored is the kind of what a program keeps on this disk.
func stored(s *stores.Store) kind {
	return kind{name: s.Name, names: begins(s.Scheme), check: s.Check, model: s.Model, local: true,
		open: func(_ context.Context, address string, _ Options) (place.Place, error) { return s.Open(address) }}
}

func begins(scheme string) func(string) bool {
	return func(address string) bool {
		return len(address) >= len(scheme) && strings.EqualFold(address[:len(scheme)], scheme)
	}
}

func openHub(ctx context.Context, address string, o Options) (place.Place, error) {
	login, err := hub.ReadLogin()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return hub.Open(ctx, remote.New(remote.Options{UserAgent: o.UserAgent, Slots: o.Slots, Token: login.Token, Notice: o.Notice}), address)
}

func openOCI(ctx context.Context, address string, o Options) (place.Place, error) {
	n, err := oci.Parse(address)
	if err != nil {
		return nil, err
	}
	return oci.Open(ctx, oci.Connect(remote.Options{UserAgent: o.UserAgent, Slots: o.Slots, Notice: o.Notice}, n, "pull"), address)
}

// hubModel is org--name for a whole repository, as names of models have no slashes.
func hubModel(address string) string {
	n, err := hub.Parse(address)
	if err != nil || n.Path != "" {
		return ""
	}
	return strings.ReplaceAll(n.ID, "/", "--")
}

func openBucket(ctx context.Context, address string, o Options) (place.Place, error) {
	return s3.Open(ctx, address, remote.Options{UserAgent: o.UserAgent, Slots: o.Slots, Notice: o.Notice})
}

// bucketModel is the last part of a key, without what says that it is a file, else the bucket.
func bucketModel(address string) string {
	n, err := bucket.Parse(address)
	if err != nil {
		return ""
	}
	if n.Key == "" {
		return n.Bucket
	}
	name := path.Base(n.Key)
	if shards.FamilyOf(name) != nil {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
	return name
}

func of(address string) *kind {
	for i := range kinds {
		if kinds[i].names(address) {
			return &kinds[i]
		}
	}
	return nil
}

// Names reports whether an argument is an address of a place that can be opened, well written or not.
func Names(address string) bool { return of(address) != nil }

// Local reports an address of what lies on this disk: it is read as files are.
func Local(address string) bool {
	k := of(address)
	return k != nil && k.local
}

// Path is where on this disk a plain folder or file lies that an address names, and the argument itself where it
// names none.
func Path(address string) (string, error) {
	if k := of(address); k != nil && k.path != nil {
		return k.path(address)
	}
	return address, nil
}

// Checkpoint opens a checkpoint on this disk, by its path or by the address of what a program keeps there.
func Checkpoint(ctx context.Context, path string, o ingest.Options) (*ingest.Checkpoint, error) {
	path, err := Path(path)
	if err != nil {
		return nil, err
	}
	switch k := of(path); {
	case k == nil:
		return ingest.Open(ctx, path, o)
	case !k.local:
		return nil, fmt.Errorf("%s: does not lie on this disk", path)
	}
	p, err := Open(ctx, path, Options{})
	if err != nil {
		return nil, err
	}
	return ingest.OpenPlace(ctx, p, o)
}

// Kind is what kind of place an address is of, for people: "the hub"; "" when it is none.
func Kind(address string) string {
	if k := of(address); k != nil {
		return k.name
	}
	return ""
}

// Shown is an argument as it may be shown and kept: an address without its secrets.
func Shown(address string) string {
	if k := of(address); k != nil && k.shown != nil {
		return k.shown(address)
	}
	return address
}

// Check says what is wrong with an address, without asking anybody.
func Check(address string) error {
	k := of(address)
	if k == nil {
		return fmt.Errorf("%s: not an address that can be opened", address)
	}
	return k.check(address)
}

// ModelName is what a model at an address is called when nobody says, "" for the last part of its path.
func ModelName(address string) string {
	if k := of(address); k != nil && k.model != nil {
		return k.model(address)
	}
	return ""
}

// Open opens what an address names. Nothing is read of any file yet.
func Open(ctx context.Context, address string, o Options) (place.Place, error) {
	if k := of(address); k != nil && k.open != nil {
		return k.open(ctx, address, o)
	}
	return nil, fmt.Errorf("%s: not an address that can be opened", strings.ToValidUTF8(address, "?"))
}
