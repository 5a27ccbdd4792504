package receipt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
)

// files compares the files next to the shards.
func (v *verifier) files(ctx context.Context, dir string, r *Receipt) error {
	root, err := folder.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	v.strangers(root, r)
	for _, s := range r.Shards {
		v.shard(root, s)
	}
	for _, x := range r.Files {
		f, err := root.Open(x.Name)
		if err != nil {
			v.fault(x.Name, "", -1, "%v", err)
			continue
		}
		h := sha256.New()
		n, err := io.Copy(h, io.NewSectionReader(interrupt.Reader(ctx, f), 0, x.Bytes+1))
		f.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch got := hex.EncodeToString(h.Sum(nil)); {
		case err != nil:
			v.fault(x.Name, "", -1, "%v", err)
		case n != x.Bytes || got != x.SHA256:
			v.fault(x.Name, "", -1, "is not what was written (sha256 %s of %d bytes, should be %s of %d)", got, n, x.SHA256, x.Bytes)
		}
	}
	return nil
}

// shard compares a shard's size and header. What its tensors hold is read later.
func (v *verifier) shard(root *folder.Folder, s Shard) {
	f, err := root.Open(s.Name)
	if err != nil {
		v.fault(s.Name, "", -1, "%v", err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		v.fault(s.Name, "", -1, "%v", err)
		return
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, s.Header)); err != nil {
		v.fault(s.Name, "", -1, "%v", err)
	} else if got := hex.EncodeToString(h.Sum(nil)); info.Size() != s.Bytes || got != s.SHA256 {
		v.fault(s.Name, "", -1, "its header is not what was written (sha256 %s, %d bytes in all; should be %s, %d)", got, info.Size(), s.SHA256, s.Bytes)
	}
}

// strangers says which files no receipt can speak for.
func (v *verifier) strangers(root *folder.Folder, r *Receipt) {
	entries, err := root.List()
	if err != nil {
		v.skip("%v", err)
	}
	known := map[string]bool{Name: true}
	for _, x := range r.Files {
		known[x.Name] = true
	}
	for _, s := range r.Shards {
		known[s.Name] = true
	}
	for _, e := range entries {
		if name := e.Name(); !known[name] {
			v.skip("%q: the receipt does not list it", name)
		}
	}
}
