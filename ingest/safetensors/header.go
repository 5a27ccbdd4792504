package safetensors

import (
	"context"
	"errors"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/strictjson"
	"wreg/registry/tensor"
)

// header is what the JSON says, not yet checked against the data.
type header struct {
	file     string
	bytes    int64         // of the JSON
	tensors  []tensor.Info // Offset counts from the first data byte; Bytes is end - begin
	dtypes   map[int]string
	metadata map[string]string
	oddities
}

// minEntry is the length of the shortest entry, "":{"dtype":"F4","shape":[],"data_offsets":[0,0]}
// and a comma. It bounds what is allocated before the entries are read.
const minEntry = 49

const metadataKey = "__metadata__"

// parse reads the header's text. Entries keep their order.
func parse(ctx context.Context, text, file string) (*header, error) {
	if text[0] != '{' {
		return nil, fault(ErrHeaderStart, file, prefixBytes, "header starts with %q, not '{'", text[:1])
	}
	if bad, ok := errors.AsType[*strictjson.Error](strictjson.Check(text)); ok {
		return nil, fault(ErrUTF8, file, prefixBytes+int64(bad.Pos), "header: %s", bad.Message)
	}
	p := &parser{
		Scanner: strictjson.Scanner{Text: text, Steps: interrupt.Steps{Context: ctx}},
		h:       &header{file: file, bytes: int64(len(text)), dtypes: map[int]string{}},
	}
	p.h.tensors = make([]tensor.Info, 0, min(strings.Count(text, "{"), len(text)/minEntry+1, MaxTensors))
	if err := p.Object(p.entry); err != nil {
		if bad, ok := errors.AsType[*strictjson.Error](err); ok {
			return nil, fault(ErrJSON, file, prefixBytes+int64(bad.Pos), "header: %s", bad.Message)
		}
		return nil, err
	}
	if p.Space(); p.Pos < len(text) {
		return nil, p.fault(ErrTrailing, "header goes on after its closing }: %s", p.Here())
	}
	p.h.unusual = p.Unusual
	return p.h, nil
}

// parser fills a header from its text.
type parser struct {
	strictjson.Scanner
	h    *header
	dims []int64 // shapes are cut from it: one allocation for thousands

	hasMetadata bool
}

func (p *parser) fault(rule error, format string, args ...any) error {
	return fault(rule, p.h.file, prefixBytes+int64(p.Pos), format, args...)
}

// metadata reads the map of strings after __metadata__.
func (p *parser) metadata() error {
	if p.hasMetadata {
		return p.fault(ErrDuplicateName, "%s is given twice", metadataKey)
	}
	p.hasMetadata = true
	if p.Peek() == 'n' && strings.HasPrefix(p.Text[p.Pos:], "null") { // mlx writes it for none
		p.Pos += len("null")
		return nil
	}
	p.h.metadata = map[string]string{}
	if p.Peek() != '{' {
		return p.fault(ErrMetadata, "%s is %s, not an object", metadataKey, p.Here())
	}
	return p.Object(func(k string) error {
		if p.Peek() != '"' {
			return p.fault(ErrMetadata, "%s: %q is %s, not a string", metadataKey, shorten(k), p.Here())
		}
		v, err := p.Str()
		if err != nil {
			return err
		}
		if _, twice := p.h.metadata[k]; twice {
			return p.fault(ErrDuplicateField, "%s: %q is given twice", metadataKey, shorten(k))
		}
		if len(p.h.metadata) == MaxMetadata {
			return p.fault(ErrMetadata, "%s holds more than %d entries", metadataKey, MaxMetadata)
		}
		p.h.metadata[k] = v
		return nil
	})
}

// The fields of an entry, as bits of what was seen.
const (
	fieldDType = 1 << iota
	fieldShape
	fieldOffsets
	allFields = fieldDType | fieldShape | fieldOffsets
)

// entry reads one tensor's object, or the metadata.
func (p *parser) entry(name string) error {
	if name == metadataKey {
		return p.metadata()
	}
	if len(name) > MaxName {
		return p.fault(ErrName, "tensor name of %d bytes exceeds %d: %q", len(name), MaxName, shorten(name))
	}
	if len(p.h.tensors) == MaxTensors {
		return p.fault(ErrTooMany, "more than %d tensors", MaxTensors)
	}
	p.h.tensors = append(p.h.tensors, tensor.Info{}) // filled in place: an Info is large
	t := &p.h.tensors[len(p.h.tensors)-1]
	t.Path, t.File, t.Format = name, p.h.file, "safetensors"
	if err := p.Take('{'); err != nil {
		return p.inTensor(name, err)
	}
	seen := 0
	for first := true; ; first = false {
		more, err := p.More('}', first)
		if err != nil {
			return p.inTensor(name, err)
		}
		if !more {
			break
		}
		bit, err := p.field(t)
		if err != nil {
			return p.inTensor(name, err)
		}
		if seen&bit != 0 {
			return p.fault(ErrDuplicateField, "tensor %q: a field is given twice", shorten(name))
		}
		seen |= bit
	}
	if seen != allFields {
		missing := []string{}
		for i, f := range []string{"dtype", "shape", "data_offsets"} {
			if seen&(1<<i) == 0 {
				missing = append(missing, f)
			}
		}
		return p.fault(ErrMissingField, "tensor %q: no %s", shorten(name), strings.Join(missing, ", no "))
	}
	return nil
}

func (p *parser) inTensor(name string, err error) error {
	if bad, ok := errors.AsType[*strictjson.Error](err); ok {
		return &strictjson.Error{Pos: bad.Pos, Message: "tensor \"" + shorten(name) + "\": " + bad.Message}
	}
	return err
}

// field reads one field of an entry and says which it was; 0 is one the format
// does not know.
func (p *parser) field(t *tensor.Info) (int, error) {
	key, err := p.fieldName()
	if err != nil {
		return 0, err
	}
	switch key {
	case "dtype":
		name, err := p.Str()
		if err != nil {
			return 0, err
		}
		if t.DType = dtype(name); t.DType == tensor.Invalid {
			p.h.dtypes[len(p.h.tensors)-1] = name
		}
		return fieldDType, nil
	case "shape":
		t.Shape, err = p.shape()
		return fieldShape, err
	case "data_offsets":
		t.Offset, t.Bytes, err = p.offsets()
		return fieldOffsets, err
	}
	p.h.unknownField(t.Path, key)
	p.Space()
	return 0, p.Skip()
}

// fieldName reads a field's name. Nearly every writer leaves no space, so the
// three names are looked for as they stand first.
func (p *parser) fieldName() (string, error) {
	switch rest := p.Text[p.Pos:]; {
	case strings.HasPrefix(rest, `"dtype":`):
		p.Pos += len(`"dtype":`)
		return "dtype", nil
	case strings.HasPrefix(rest, `"shape":`):
		p.Pos += len(`"shape":`)
		return "shape", nil
	case strings.HasPrefix(rest, `"data_offsets":`):
		p.Pos += len(`"data_offsets":`)
		return "data_offsets", nil
	}
	return p.Key()
}

// dimsChunk is how many dimensions are allocated at once.
const dimsChunk = 4096

func (p *parser) shape() (tensor.Shape, error) {
	if err := p.Take('['); err != nil {
		return nil, err
	}
	start := len(p.dims)
	for first := true; ; first = false {
		more, err := p.More(']', first)
		if err != nil {
			return nil, err
		}
		if !more {
			return tensor.Shape(p.dims[start:len(p.dims):len(p.dims)]), nil
		}
		d, err := p.Integer()
		if err != nil {
			return nil, err
		}
		if len(p.dims)-start == tensor.MaxRank {
			return nil, p.fault(ErrShape, "shape has more than %d dimensions", tensor.MaxRank)
		}
		if len(p.dims) == cap(p.dims) {
			p.dims = append(make([]int64, 0, dimsChunk), p.dims[start:]...)
			start = 0
		}
		p.dims = append(p.dims, d)
	}
}

// offsets reads [begin, end]. The length of a reversed pair is negative; validate
// refuses it.
func (p *parser) offsets() (begin, n int64, err error) {
	if err := p.Take('['); err != nil {
		return 0, 0, err
	}
	if begin, err = p.Integer(); err != nil {
		return 0, 0, err
	}
	if err := p.Take(','); err != nil {
		return 0, 0, err
	}
	end, err := p.Integer()
	if err != nil {
		return 0, 0, err
	}
	return begin, end - begin, p.Take(']')
}
