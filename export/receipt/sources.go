package receipt

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wreg/ingest"
	"wreg/ingest/folder"
	"wreg/ingest/places"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// accounts checks that the receipt accounts for every source tensor, and that
// copies carry their sources' checksums.
func (v *verifier) accounts(r *Receipt) {
	outputs := map[string]bool{}
	for _, t := range r.Tensors {
		outputs[t.Path] = true
	}
	sums := map[string]Source{}
	for _, s := range r.Sources {
		sums[s.Path] = s
		if len(s.Into) == 0 && s.Dropped == "" {
			v.fault(Name, s.Path, -1, "source tensor is neither used nor dropped")
		}
		for _, into := range s.Into {
			if !outputs[into] {
				v.fault(Name, s.Path, -1, "went into %q, which the receipt does not list", into)
			}
		}
	}
	computed := 0
	for _, t := range r.Tensors {
		for _, path := range t.From {
			if _, ok := sums[path]; !ok {
				v.fault(t.File, t.Path, -1, "was made from %s, which the receipt does not list", path)
			}
		}
		if !t.copies() {
			computed++
			continue
		}
		for k, p := range t.Parts {
			v.copied(&t, k, p, sums[p.From])
		}
		if len(t.Parts) == 0 && len(t.From) == 1 {
			v.copied(&t, -1, Part{t.From[0], t.Bytes, t.XXH3, t.SHA256}, sums[t.From[0]])
		}
	}
	if computed > 0 {
		v.skip("%d tensors were computed, not copied: their bytes were compared with the receipt, and not computed again", computed)
	}
}

// copied checks that a part of a tensor, or all of it, is the source it was made from.
func (v *verifier) copied(t *Tensor, expert int, p Part, src Source) {
	if p.Bytes == src.Bytes && (p.XXH3 != src.XXH3 || p.SHA256 != src.SHA256 && p.SHA256 != "" && src.SHA256 != "") {
		v.fault(t.File, t.Path, expert, "is a copy of %s, whose checksum differs: it is %s, its source was %s", p.From, p.XXH3, src.XXH3)
	}
}

// whole are the steps that keep the bytes of each input together, in their order.
var whole = []op.Op{op.Load, op.Stack, op.Concat, op.Reshape, op.View}

var shapes = regexp.MustCompile(`\[[^\]]*\]`)

// copies reports that no byte of the tensor was computed, and that a source which is
// all of it, or of a part, is there as it was. Steps writes what is read here.
func (t *Tensor) copies() bool {
	words := strings.FieldsFunc(shapes.ReplaceAllString(t.Steps, ""), func(c rune) bool { return strings.ContainsRune("(), ", c) })
	for _, word := range words {
		_, notCount := strconv.Atoi(word)
		if _, dtype := tensor.ParseDType(word); notCount != nil && !dtype && !slices.Contains(whole, op.Op(word)) {
			return false
		}
	}
	return len(words) > 0
}

// sources compares the source tensors with the receipt, when they are still there.
func (v *verifier) sources(ctx context.Context, r *Receipt) error {
	if places.Names(r.Root) {
		v.skip("sources: they lie at %s; of them nothing is read here", r.Root)
		return nil
	}
	for _, x := range r.Inputs {
		path := filepath.Join(folder.Of(r.Root), filepath.FromSlash(x.Name))
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
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
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
