// Package shards decides which files of a folder are the weights of a checkpoint, from
// their names and from what an index.json says.
//
// Most users need [Sort] for a folder, [ReadIndex], [Family.Pick] and, for an index
// that is to be written, [Draw].
//
// Invariants: an index is read strictly, since a wrong guess loses weights; shards lie
// beside their index; nothing here opens a file.
package shards

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/ingest/strictjson"
	"wreg/registry/tensor"
)

const (
	IndexSuffix = ".index.json"
	MaxIndex    = 100_000_000 // bytes of an index file, as of a safetensors header
)

var indexName = regexp.MustCompile(`\.index(\.[A-Za-z][\w-]*)?\.json$`)

// IsIndex reports the name of an index, a variant's (model.safetensors.index.fp16.json)
// too, which decides where it is named by itself.
func IsIndex(name string) bool { return indexName.MatchString(name) }

// Index is what an index.json says: which shard holds which tensor.
type Index struct {
	Name      string
	Shards    []string // sorted
	Entries   []Entry
	TotalSize string // as written; "" when it is absent
}

// Entry is a tensor and its shard.
type Entry struct {
	Path  string
	Shard int // of shards
}

// ReadIndex reads the text of an index file. One that is not strictly what it should
// be is refused: a wrong guess here loses weights.
func ReadIndex(ctx context.Context, name, text string) (*Index, error) {
	x := &Index{Name: name}
	if err := x.parse(ctx, text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return x, nil
}

func (x *Index) parse(ctx context.Context, text string) error {
	if err := strictjson.Check(text); err != nil {
		return err
	}
	s := &strictjson.Scanner{Text: text, Steps: interrupt.Steps{Context: ctx}}
	seen := map[string]bool{}
	if err := s.Object(func(key string) error {
		if seen[key] {
			return s.Fail("%q is given twice", key)
		}
		if seen[key] = true; len(seen) > maxIndexKeys {
			return s.Fail("more than %d keys", maxIndexKeys)
		}
		switch key {
		case "weight_map":
			return x.weightMap(s)
		case "metadata":
			return x.metadata(s)
		}
		return s.Skip()
	}); err != nil {
		return err
	}
	if !seen["weight_map"] {
		return s.Fail("no weight_map, so the index names no tensor")
	}
	return s.End()
}

// maxIndexKeys bounds the keys beside weight_map, which nothing reads.
const maxIndexKeys = 1000

func (x *Index) weightMap(s *strictjson.Scanner) error {
	if s.Peek() != '{' {
		return s.Fail("weight_map is %s, not an object", s.Here())
	}
	number := map[string]int{}
	x.Entries = make([]Entry, 0, min(strings.Count(s.Text, ","), 1<<17))
	if err := s.Object(func(path string) error {
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
			if n = len(number); n == folder.MaxEntries {
				return s.Fail("weight_map: names more than %d shards", folder.MaxEntries)
			}
			number[shard] = n
			x.Shards = append(x.Shards, shard)
		}
		if len(x.Entries) == tensor.MaxTensors {
			return s.Fail("weight_map: names more than %d tensors", tensor.MaxTensors)
		}
		x.Entries = append(x.Entries, Entry{path, n})
		return nil
	}); err != nil {
		return err
	}
	return x.sort(s)
}

// sort orders entries by path and shards by name, and refuses a path given twice.
func (x *Index) sort(s *strictjson.Scanner) error {
	order := slices.Clone(x.Shards)
	slices.Sort(order)
	rank := make([]int, len(order))
	for i, shard := range x.Shards {
		rank[i], _ = slices.BinarySearch(order, shard)
	}
	x.Shards = order
	for i := range x.Entries {
		x.Entries[i].Shard = rank[x.Entries[i].Shard]
	}
	if order := pathsort.Order(len(x.Entries), func(i int) string { return x.Entries[i].Path }); order != nil {
		sorted := make([]Entry, len(order))
		for i, from := range order {
			sorted[i] = x.Entries[from]
		}
		x.Entries = sorted
	}
	for i := 1; i < len(x.Entries); i++ {
		if p := x.Entries[i].Path; p == x.Entries[i-1].Path {
			return s.Fail("weight_map: tensor %q is given twice", p)
		}
	}
	return nil
}

// metadata keeps total_size and passes over the rest.
func (x *Index) metadata(s *strictjson.Scanner) error {
	if s.Peek() != '{' {
		return s.Skip() // some writers leave null
	}
	return s.Object(func(key string) error {
		s.Space()
		start := s.Pos
		if err := s.Skip(); err != nil {
			return err
		}
		if key == "total_size" {
			if x.TotalSize != "" {
				return s.Fail("metadata: total_size is given twice")
			}
			x.TotalSize = s.Text[start:s.Pos]
		}
		return nil
	})
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
