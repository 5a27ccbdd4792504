package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/tensor"
)

// maxFaultsShown bounds what one refused Put prints.
const maxFaultsShown = 10

// groupOf is the tensors of one block.
type groupOf struct {
	key     string
	entries []entry
}

// group takes the tensors apart by template, in key order, and collects every
// fault that makes them unfit to be stored.
func group(tensors []tensor.Info) ([]groupOf, error) {
	var faults []error
	at := map[string]int{}
	var groups []groupOf
	for i := range tensors {
		t := &tensors[i]
		if err := checkInfo(t); err != nil {
			faults = append(faults, err)
			continue
		}
		key, index := blockKey(t.Path)
		g, ok := at[key]
		if !ok {
			g = len(groups)
			at[key] = g
			groups = append(groups, groupOf{key: key})
		}
		groups[g].entries = append(groups[g].entries, entry{index, t})
	}
	slices.SortFunc(groups, func(a, b groupOf) int { return strings.Compare(a.key, b.key) })
	for _, g := range groups {
		slices.SortFunc(g.entries, func(a, b entry) int { return slices.Compare(a.index, b.index) })
		for i := 1; i < len(g.entries); i++ {
			if slices.Equal(g.entries[i].index, g.entries[i-1].index) {
				a, b := g.entries[i-1].info, g.entries[i].info
				faults = append(faults, fmt.Errorf("tensor %q: comes twice, in %s at %d and in %s at %d", b.Path, a.File, a.Offset, b.File, b.Offset))
			}
		}
	}
	if n := len(faults); n > maxFaultsShown {
		faults = append(faults[:maxFaultsShown], fmt.Errorf("and %d more", n-maxFaultsShown))
	}
	return groups, errors.Join(faults...)
}

// blockKey is the key of the block a path belongs to, and its numbers there. A
// path that holds a placeholder's own text is a block by itself: from its
// template it could not be told where the numbers go.
func blockKey(path string) (key string, index []int64) {
	if template, index := tensor.SplitPath(path); !strings.Contains(path, "{") || tensor.JoinPath(template, index) == path && len(tensor.Placeholders(template)) == len(index) {
		return string(templateKey) + template, index
	}
	return string(literalKey) + path, nil
}

// checkInfo refuses what no reader may hand over.
func checkInfo(t *tensor.Info) error {
	switch {
	case len(t.Path) >= bolt.MaxKeySize:
		return fmt.Errorf("tensor %.60q…: a name of %d bytes, at most %d are kept", t.Path, len(t.Path), bolt.MaxKeySize-1)
	case !t.DType.Valid():
		return fmt.Errorf("tensor %q in %s: %v is no element type", t.Path, t.File, t.DType)
	case t.Bytes < 0 || t.Offset < -1:
		return fmt.Errorf("tensor %q in %s: %d bytes at %d", t.Path, t.File, t.Bytes, t.Offset)
	}
	if _, err := t.Shape.Numel(); err != nil {
		return fmt.Errorf("tensor %q in %s: %w", t.Path, t.File, err)
	}
	return nil
}
