package receipt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// expected is a tensor as it should be.
type expected struct {
	path, file string
	dtype      tensor.DType
	shape      tensor.Shape
	bytes      int64
	whole      sums.Digest
	parts      []expectedPart // in order, together the whole tensor; nil: unknown
	stack      bool           // parts are the indices of axis 0
}

type expectedPart struct {
	from  string
	bytes int64
	sums.Digest
}

func fromInfos(infos []tensor.Info) []expected {
	out := make([]expected, 0, len(infos))
	for _, t := range infos {
		e := expected{path: t.Path, file: t.File, dtype: t.DType, shape: t.Shape, bytes: t.Bytes, whole: sums.Digest{Sum: t.Sum, Hash: t.Hash}}
		if n := int64(len(t.Slices)); n > 0 && t.Bytes%n == 0 {
			e.stack = true
			for _, h := range t.Slices {
				e.parts = append(e.parts, expectedPart{"", t.Bytes / n, sums.Digest{Hash: h}})
			}
		}
		out = append(out, e)
	}
	return out
}

// fromReceipt refuses a receipt that lacks a checksum: anything would pass for what it
// speaks of.
func fromReceipt(r *Receipt) ([]expected, error) {
	for _, s := range r.Shards {
		if s.SHA256 == "" {
			return nil, fmt.Errorf("shard %q: %w", s.Name, errNoSum)
		}
	}
	for _, x := range r.Files {
		if x.SHA256 == "" {
			return nil, fmt.Errorf("file %q: %w", x.Name, errNoSum)
		}
	}
	proven := map[string]bool{} // whole files that tensors lie in
	for _, x := range r.Inputs {
		proven[x.Name] = x.SHA256 != ""
	}
	for _, s := range r.Sources {
		if s.XXH3 == "" && len(s.Into) > 0 && !proven[s.File] {
			return nil, fmt.Errorf("source tensor %q: %w", s.Path, errNoSum)
		}
	}
	out := make([]expected, 0, len(r.Tensors))
	for _, t := range r.Tensors {
		e := expected{path: t.Path, file: t.File, shape: t.Shape, bytes: t.Bytes}
		dtype, ok := tensor.ParseDType(t.DType)
		if !ok {
			return nil, fmt.Errorf("tensor %q: dtype %q is unknown", t.Path, t.DType)
		}
		e.dtype = dtype
		var err error
		if e.whole, err = ParseDigest(t.XXH3, t.SHA256); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		total := int64(0)
		for _, p := range t.Parts {
			d, err := ParseDigest(p.XXH3, p.SHA256)
			if err != nil {
				return nil, fmt.Errorf("tensor %q: part from %q: %w", t.Path, p.From, err)
			}
			if p.Bytes < 0 || p.Bytes > t.Bytes-total {
				return nil, fmt.Errorf("tensor %q: its parts do not add up", t.Path)
			}
			total += p.Bytes
			e.parts = append(e.parts, expectedPart{p.From, p.Bytes, d})
		}
		if len(t.Parts) > 0 && total != t.Bytes {
			return nil, fmt.Errorf("tensor %q: its parts have %d bytes of %d", t.Path, total, t.Bytes)
		}
		e.stack = len(t.Shape) > 0 && int64(len(t.Parts)) == t.Shape[0]
		out = append(out, e)
	}
	return out, nil
}

var errNoSum = errors.New("no checksum is given")

// ParseDigest wants a checksum: without one, whatever is there would be taken.
func ParseDigest(sum, hash string) (d sums.Digest, err error) {
	if sum != "" {
		b, err := hex.DecodeString(strings.TrimPrefix(sum, "xxh3:"))
		if err != nil || len(b) != len(d.Sum) {
			return d, fmt.Errorf("checksum %q: want xxh3: and %d hex digits", sum, 2*len(d.Sum))
		}
		d.Sum = tensor.Sum(b)
	}
	if hash != "" {
		d.Hash, err = tensor.ParseHash(hash)
	}
	if err == nil && d.Sum == (tensor.Sum{}) {
		err = errNoSum
	}
	return d, err
}
