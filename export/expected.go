package export

import (
	"encoding/hex"
	"fmt"
	"strings"

	"wreg/registry/tensor"
)

// expected is a tensor as it should be.
type expected struct {
	path, file string
	dtype      tensor.DType
	shape      tensor.Shape
	bytes      int64
	whole      digest
	parts      []expectedPart // in order, together the whole tensor; nil: unknown
	stack      bool           // parts are the indices of axis 0
}

type expectedPart struct {
	from  string
	bytes int64
	digest
}

func fromInfos(infos []tensor.Info) []expected {
	out := make([]expected, 0, len(infos))
	for _, t := range infos {
		e := expected{path: t.Path, file: t.File, dtype: t.DType, shape: t.Shape, bytes: t.Bytes, whole: digest{t.Sum, t.Hash}}
		if n := int64(len(t.Slices)); n > 0 && t.Bytes%n == 0 {
			e.stack = true
			for _, h := range t.Slices {
				e.parts = append(e.parts, expectedPart{"", t.Bytes / n, digest{hash: h}})
			}
		}
		out = append(out, e)
	}
	return out
}

func fromReceipt(r *Receipt) ([]expected, error) {
	out := make([]expected, 0, len(r.Tensors))
	for _, t := range r.Tensors {
		e := expected{path: t.Path, file: t.File, shape: t.Shape, bytes: t.Bytes}
		dtype, ok := tensor.ParseDType(t.DType)
		if !ok {
			return nil, fmt.Errorf("tensor %q: dtype %q is unknown", t.Path, t.DType)
		}
		e.dtype = dtype
		var err error
		if e.whole, err = parseDigest(t.XXH3, t.SHA256); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		total := int64(0)
		for _, p := range t.Parts {
			d, err := parseDigest(p.XXH3, p.SHA256)
			if err != nil || p.Bytes < 0 || p.Bytes > t.Bytes-total {
				return nil, fmt.Errorf("tensor %q: its parts do not add up (%v)", t.Path, err)
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

func parseDigest(sum, hash string) (d digest, err error) {
	if sum != "" {
		b, err := hex.DecodeString(strings.TrimPrefix(sum, "xxh3:"))
		if err != nil || len(b) != len(d.sum) {
			return d, fmt.Errorf("checksum %q: want xxh3: and %d hex digits", sum, 2*len(d.sum))
		}
		d.sum = tensor.Sum(b)
	}
	if hash != "" {
		d.hash, err = tensor.ParseHash(hash)
	}
	return d, err
}
