// Package targets opens what an address names for publishing: each kind of address is a
// row that knows its own.
//
// Most users need [Names] and [Open].
//
// Invariants: an address is one kind's or none's, decided without asking anybody.
package targets

import (
	"context"
	"fmt"
	"strings"

	hubplace "wreg/ingest/hub"
	"wreg/ingest/oci"
	"wreg/ingest/s3/bucket"
	"wreg/push"
	"wreg/push/hub"
	pushoci "wreg/push/oci"
	"wreg/push/s3"
)

// kind is one kind of address.
type kind struct {
	form  string                     // how it is written, for people
	names func(address string) bool  // whether an address is of this kind, well written or not
	check func(address string) error // whether it is well written and can be published to; asks nobody
	open  func(ctx context.Context, address string, o push.Options) (push.Target, error)
}

// kinds are tried in order.
var kinds = []kind{
	{form: "hf://ORG/NAME[@BRANCH][/FOLDER]", names: hubplace.Names, check: hub.Check, open: hub.Open},
	{form: oci.Scheme + "HOST/NAME[:TAG]", names: oci.Names, check: pushoci.Check, open: pushoci.Open},
	{form: "s3://BUCKET/PREFIX", names: bucket.Names, check: s3.Check, open: s3.Open},
}

func of(address string) *kind {
	for i := range kinds {
		if kinds[i].names(address) {
			return &kinds[i]
		}
	}
	return nil
}

// Names reports whether an argument is an address that can be published to, well written or not.
func Names(address string) bool { return of(address) != nil }

// Forms are how addresses are written.
func Forms() (forms []string) {
	for _, k := range kinds {
		forms = append(forms, k.form)
	}
	return forms
}

// Check says what is wrong with an address, without asking anybody.
func Check(address string) error {
	if k := of(address); k != nil {
		return k.check(address)
	}
	return unknown(address)
}

// Open opens what an address names. Nothing is created there before the first Put.
func Open(ctx context.Context, address string, o push.Options) (push.Target, error) {
	if k := of(address); k != nil {
		return k.open(ctx, address, o)
	}
	return nil, unknown(address)
}

func unknown(address string) error {
	return fmt.Errorf("%s: not an address that can be published to; want one of %s", strings.ToValidUTF8(address, "?"), strings.Join(Forms(), ", "))
}
