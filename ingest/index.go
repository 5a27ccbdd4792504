package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/ingest/strictjson"
	"wreg/registry/tensor"
)

const (
	indexSuffix = ".index.json"
	maxIndex    = 100_000_000 // bytes of an index file, as of a safetensors header
	maxHeaders  = 128 << 20   // bytes of all headers of a checkpoint that stay in memory
	maxConfig   = 16 << 20    // bytes of config.json, as arch parses them
)

// index is what an index.json says: which shard holds which tensor.
type index struct {
	name      string
	shards    []string // sorted
	entries   []indexEntry
	totalSize string // as written; "" when it is absent
}

type indexEntry struct {
	path  string
	shard int // of shards
}

// readIndex reads an index file. One that is not strictly what it should be is
// refused: a wrong guess here loses weights.
func readIndex(ctx context.Context, f *file) (*index, error) {
	text, err := f.text(ctx, maxIndex)
	if err != nil {
		return nil, err
	}
	x := &index{name: f.info.Name}
	if err := x.parse(ctx, text); err != nil {
		return nil, fmt.Errorf("%s: %w", x.name, err)
	}
	return x, nil
}

// text is the whole of a small file.
func (f *file) text(ctx context.Context, limit int64) (string, error) {
	if f.info.Size > limit {
		return "", fmt.Errorf("%s: %d bytes exceed %d", f.info.Name, f.info.Size, limit)
	}
	var b strings.Builder
	b.Grow(int(f.info.Size))
	if n, err := io.Copy(&b, io.NewSectionReader(interrupt.Reader(ctx, f.disk), 0, f.info.Size)); err != nil {
		return "", named(f.info.Name, err)
	} else if n < f.info.Size {
		return "", named(f.info.Name, io.ErrUnexpectedEOF)
	}
	return b.String(), nil
}

func (x *index) parse(ctx context.Context, text string) error {
	if err := strictjson.Check(text); err != nil {
		return err
	}
	s := &strictjson.Scanner{Text: text, Steps: interrupt.Steps{Context: ctx}}
	if err := s.Take('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for first := true; ; first = false {
		more, err := s.More('}', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		key, err := s.Key()
		if err != nil {
			return err
		}
		if seen[key] {
			return s.Fail("%q is given twice", key)
		}
		if seen[key] = true; len(seen) > maxIndexKeys {
			return s.Fail("more than %d keys", maxIndexKeys)
		}
		switch key {
		case "weight_map":
			err = x.weightMap(s)
		case "metadata":
			err = x.metadata(s)
		default:
			err = s.Skip()
		}
		if err != nil {
			return err
		}
	}
	if !seen["weight_map"] {
		return s.Fail("no weight_map, so the index names no tensor")
	}
	return s.End()
}

// maxIndexKeys bounds the keys beside weight_map, which nothing reads.
const maxIndexKeys = 1000

func (x *index) weightMap(s *strictjson.Scanner) error {
	if s.Peek() != '{' {
		return s.Fail("weight_map is %s, not an object", s.Here())
	}
	s.Pos++
	number := map[string]int{}
	x.entries = make([]indexEntry, 0, min(strings.Count(s.Text, ","), 1<<17))
	for first := true; ; first = false {
		more, err := s.More('}', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		path, err := s.Key()
		if err != nil {
			return err
		}
		if s.Peek() != '"' {
			return s.Fail("weight_map: %q is %s, not the name of a shard", path, s.Here())
		}
		shard, err := s.Str()
		if err != nil {
			return err
		}
		n, known := number[shard]
		if !known {
			if err := plainName(shard); err != nil {
				return s.Fail("weight_map: tensor %q: shard %q: %v", path, shard, err)
			}
			if n = len(number); n == maxEntries {
				return s.Fail("weight_map: names more than %d shards", maxEntries)
			}
			number[shard] = n
			x.shards = append(x.shards, shard)
		}
		if len(x.entries) == tensor.MaxTensors {
			return s.Fail("weight_map: names more than %d tensors", tensor.MaxTensors)
		}
		x.entries = append(x.entries, indexEntry{path, n})
	}
	return x.sort(s)
}

// sort orders entries by path and shards by name, and refuses a path given twice.
func (x *index) sort(s *strictjson.Scanner) error {
	order := slices.Clone(x.shards)
	slices.Sort(order)
	rank := make([]int, len(order))
	for i, shard := range x.shards {
		rank[i], _ = slices.BinarySearch(order, shard)
	}
	x.shards = order
	for i := range x.entries {
		x.entries[i].shard = rank[x.entries[i].shard]
	}
	if order := pathsort.Order(len(x.entries), func(i int) string { return x.entries[i].path }); order != nil {
		sorted := make([]indexEntry, len(order))
		for i, from := range order {
			sorted[i] = x.entries[from]
		}
		x.entries = sorted
	}
	for i := 1; i < len(x.entries); i++ {
		if p := x.entries[i].path; p == x.entries[i-1].path {
			return s.Fail("weight_map: tensor %q is given twice", p)
		}
	}
	return nil
}

// metadata keeps total_size and passes over the rest.
func (x *index) metadata(s *strictjson.Scanner) error {
	if s.Peek() != '{' {
		return s.Skip() // some writers leave null
	}
	s.Pos++
	for first := true; ; first = false {
		more, err := s.More('}', first)
		if err != nil || !more {
			return err
		}
		key, err := s.Key()
		if err != nil {
			return err
		}
		s.Space()
		start := s.Pos
		if err := s.Skip(); err != nil {
			return err
		}
		if key == "total_size" {
			if x.totalSize != "" {
				return s.Fail("metadata: total_size is given twice")
			}
			x.totalSize = s.Text[start:s.Pos]
		}
	}
}

// plainName accepts the name of a file in the same folder and nothing else.
func plainName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || !filepath.IsLocal(name):
		return fmt.Errorf("not the name of a file in this folder")
	case strings.ContainsAny(name, `/\:`):
		return errors.New("a shard lies beside its index, so its name has no slash, backslash or colon in it")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("control character in the name")
	case len(name) > 255:
		return fmt.Errorf("name of %d bytes exceeds 255", len(name))
	case strings.HasSuffix(name, ".json"):
		return fmt.Errorf("a shard holds weights, not JSON")
	}
	return nil
}
