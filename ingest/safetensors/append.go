package safetensors

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"wreg/ingest/strictjson"
	"wreg/registry/tensor"
)

// AppendHeader appends the length and the header of a file whose data are the
// given tensors end to end, in the given order. Of each it takes Path, DType and
// Shape. offsets[i] is where the bytes of tensors[i] begin, counted from the start
// of the file; offsets[len(tensors)] is the size of the file.
//
// The form is the one mlx writes: compact, keys sorted bytewise with __metadata__
// among them, fields data_offsets, dtype, shape; no padding.
func AppendHeader(dst []byte, tensors []tensor.Info, metadata map[string]string) (_ []byte, offsets []int64, err error) {
	offsets = make([]int64, len(tensors)+1)
	order := make([]int, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		if dtypeNames[t.DType] == "" {
			return nil, nil, fmt.Errorf("tensor %q: safetensors has no dtype %v", t.Path, t.DType)
		}
		n, err := t.Shape.Bytes(t.DType)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		if offsets[i+1] = offsets[i] + n; offsets[i+1] < 0 {
			return nil, nil, fmt.Errorf("tensor %q: the file would overflow 64 bits", t.Path)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(tensors[a].Path, tensors[b].Path) })
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, '{')
	pending := len(metadata) > 0
	for k, i := range order {
		t := &tensors[i]
		switch {
		case t.Path == metadataKey:
			return nil, nil, fmt.Errorf("tensor %q: safetensors keeps this name for itself", t.Path)
		case k > 0 && t.Path == tensors[order[k-1]].Path:
			return nil, nil, fmt.Errorf("tensor %q: given twice", t.Path)
		case len(t.Path) > MaxName:
			return nil, nil, fmt.Errorf("tensor %q: name of %d bytes exceeds %d", shorten(t.Path), len(t.Path), MaxName)
		}
		if pending && t.Path > metadataKey {
			if dst, err = appendMetadata(comma(dst), metadata); err != nil {
				return nil, nil, err
			}
			pending = false
		}
		if dst, err = strictjson.AppendString(comma(dst), t.Path); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		dst = appendEntry(dst, t, offsets[i], offsets[i+1])
	}
	if pending {
		if dst, err = appendMetadata(comma(dst), metadata); err != nil {
			return nil, nil, err
		}
	}
	dst = append(dst, '}')
	n := len(dst) - start - prefixBytes
	if n > MaxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes exceeds %d; use more shards", n, MaxHeader)
	}
	binary.LittleEndian.PutUint64(dst[start:], uint64(n))
	for i := range offsets {
		if offsets[i] += int64(prefixBytes + n); offsets[i] < 0 {
			return nil, nil, fmt.Errorf("the file would overflow 64 bits")
		}
	}
	return dst, offsets, nil
}

func appendEntry(dst []byte, t *tensor.Info, begin, end int64) []byte {
	dst = append(dst, `:{"data_offsets":[`...)
	dst = strconv.AppendInt(dst, begin, 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, end, 10)
	dst = append(dst, `],"dtype":"`...)
	dst = append(dst, dtypeNames[t.DType]...)
	dst = append(dst, `","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, d, 10)
	}
	return append(dst, "]}"...)
}

func appendMetadata(dst []byte, metadata map[string]string) (_ []byte, err error) {
	dst = append(dst, `"`+metadataKey+`":{`...)
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if dst, err = strictjson.AppendString(comma(dst), k); err == nil {
			dst, err = strictjson.AppendString(append(dst, ':'), metadata[k])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", metadataKey, k, err)
		}
	}
	return append(dst, '}'), nil
}

// comma separates items: none follows an opening brace.
func comma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}
