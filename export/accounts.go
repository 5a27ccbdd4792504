package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"wreg/ingest"
)

// files compares the files beside the shards.
func (v *verifier) files(dir string, r *Receipt) error {
	root, err := ingest.OpenFolder(dir)
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
		n, err := io.Copy(h, io.LimitReader(f, x.Bytes+1))
		f.Close()
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
func (v *verifier) shard(root *ingest.Folder, s ReceiptShard) {
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
func (v *verifier) strangers(root *ingest.Folder, r *Receipt) {
	entries, err := root.List()
	if err != nil {
		v.skip("%v", err)
	}
	known := map[string]bool{receiptFile: true}
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

// accounts checks that the receipt accounts for every source tensor, and that
// copies carry their sources' checksums.
func (v *verifier) accounts(r *Receipt) {
	outputs := map[string]bool{}
	for _, t := range r.Tensors {
		outputs[t.Path] = true
	}
	sums := map[string]ReceiptSource{}
	for _, s := range r.Sources {
		sums[s.Path] = s
		if len(s.Into) == 0 && s.Dropped == "" {
			v.fault(receiptFile, s.Path, -1, "source tensor is neither used nor dropped")
		}
		for _, into := range s.Into {
			if !outputs[into] {
				v.fault(receiptFile, s.Path, -1, "went into %q, which the receipt does not list", into)
			}
		}
	}
	computed := 0
	for _, t := range r.Tensors {
		for k, p := range t.Parts {
			if src, ok := sums[p.From]; ok && t.copies() && src.XXH3 != p.XXH3 {
				v.fault(t.File, t.Path, k, "is a copy of %s, whose checksum differs", p.From)
			}
		}
		if !t.copies() {
			computed++
		}
	}
	if computed > 0 {
		v.skip("%d tensors were computed, not copied: their bytes were compared with the receipt, and not computed again", computed)
	}
}

// copies reports that no byte of the tensor was computed.
func (t *ReceiptTensor) copies() bool {
	return t.Steps == "load" || len(t.Parts) > 0 && t.Steps == fmt.Sprintf("stack(%d load)", len(t.Parts))
}

// sources compares the source tensors with the receipt, when they are still there.
func (v *verifier) sources(ctx context.Context, r *Receipt) error {
	for _, x := range r.Inputs {
		path := filepath.Join(r.Root, filepath.FromSlash(x.Name))
		if info, err := os.Stat(r.Root); err == nil && !info.IsDir() {
			path = filepath.Join(filepath.Dir(r.Root), filepath.FromSlash(x.Name))
		}
		info, err := os.Stat(path)
		if err != nil {
			v.skip("sources: %v", err)
			return nil
		}
		if info.Size() != x.Bytes {
			v.skip("sources: %s has %d bytes, had %d", path, info.Size(), x.Bytes)
			return nil
		}
	}
	c, err := ingest.Open(ctx, r.Root, ingest.Options{})
	if err != nil {
		v.skip("sources: %v", err)
		return nil
	}
	defer c.Close()
	sums, err := c.Hash(ctx, ingest.HashOptions{Jobs: v.o.Jobs, NoSHA: true, NoStats: true})
	if ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		v.fault(r.Root, "", -1, "sources: %v", err)
		return nil
	}
	got := map[string]string{}
	for _, t := range sums {
		got[t.Path] = t.Sum.String()
	}
	for _, s := range r.Sources {
		if s.XXH3 != "" && got[s.Path] != s.XXH3 {
			v.fault(r.Root, s.Path, -1, "source tensor is no longer what was exported (%s, was %s)", got[s.Path], s.XXH3)
		}
	}
	return nil
}
