package block

import (
	"fmt"
	"strings"

	"wreg/registry/tensor"
)

// The first byte of a block's key says what the rest is.
const (
	templateKey = 't' // a template
	literalKey  = 'l' // a path that cannot be taken apart and put back
)

// appendBlockKey is KeyOf for many paths: it appends to buffers of the caller's.
func appendBlockKey(key []byte, numbers []int64, path string) ([]byte, []int64) {
	if strings.Contains(path, "{") {
		k, index := KeyOf(path)
		return append(key, k...), append(numbers, index...)
	}
	return tensor.AppendSplit(append(key, templateKey), numbers, path)
}

// KeyOf is the key of the block a path belongs to, and its numbers there. A
// path that holds a placeholder's own text is a block by itself: from its
// template where the numbers go could not be known.
func KeyOf(path string) (key string, index []int64) {
	if template, index := tensor.SplitPath(path); !strings.Contains(path, "{") || tensor.JoinPath(template, index) == path && len(tensor.Placeholders(template)) == len(index) {
		return string(templateKey) + template, index
	}
	return string(literalKey) + path, nil
}

// checkInfo refuses what no reader may hand over.
func checkInfo(t *tensor.Info) error {
	switch {
	case len(t.Path) >= MaxKey:
		return fmt.Errorf("tensor %.60q…: a name of %d bytes, at most %d are kept", t.Path, len(t.Path), MaxKey-1)
	case !t.DType.Valid():
		return fmt.Errorf("tensor %q in %s: %v is not an element type", t.Path, t.File, t.DType)
	case t.Bytes < 0 || t.Offset < -1:
		return fmt.Errorf("tensor %q in %s: %d bytes at %d", t.Path, t.File, t.Bytes, t.Offset)
	}
	if _, err := t.Shape.Numel(); err != nil {
		return fmt.Errorf("tensor %q in %s: %w", t.Path, t.File, err)
	}
	return nil
}
