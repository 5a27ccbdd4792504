package registry

import (
	"encoding/binary"
	"fmt"
	"time"

	"wreg/registry/tensor"
)

// A revision's record is a list of (tag, length, value). An unknown tag is
// skipped, so a field can be added without a new schema.
const (
	tagModel = iota + 1
	tagNumber
	tagRoot
	tagConfig
	tagFile
	tagFinding
	tagCreated
	tagTool
	tagHashed
	tagTensors
	tagBytes
	tagSource
	tagLayout
	tagReceipt
)

func encodeRecord(v *Revision) []byte {
	var b []byte
	text := func(tag uint64, s string) {
		if s != "" {
			b = appendText(binary.AppendUvarint(b, tag), s)
		}
	}
	number := func(tag uint64, n int64) { text(tag, string(binary.AppendVarint(nil, n))) }

	text(tagModel, v.Model)
	number(tagNumber, int64(v.Number))
	text(tagRoot, v.Root)
	if v.Config != nil {
		b = appendText(binary.AppendUvarint(b, tagConfig), v.Config)
	}
	for _, f := range v.Files {
		x := appendText(nil, f.Name)
		x = binary.AppendVarint(x, f.Size)
		x = binary.AppendVarint(x, unixNano(f.ModTime))
		x = binary.AppendUvarint(x, f.Inode)
		text(tagFile, string(appendText(x, f.Format)))
	}
	for _, f := range v.Findings {
		var x []byte
		for _, s := range []string{f.Rule, f.File, f.Tensor, f.Message} {
			x = appendText(x, s)
		}
		text(tagFinding, string(x))
	}
	number(tagCreated, unixNano(v.Created))
	text(tagTool, v.Tool)
	if v.Hashed {
		number(tagHashed, 1)
	}
	number(tagTensors, int64(v.Tensors))
	number(tagBytes, v.Bytes)
	text(tagSource, v.Source)
	text(tagLayout, v.Layout)
	if v.Receipt != nil {
		b = appendText(binary.AppendUvarint(b, tagReceipt), v.Receipt)
	}
	return b
}

// decodeRecord reads a record; the message says what is wrong, "" nothing. What
// it returns does not refer to b.
func decodeRecord(b []byte) (v *Revision, wrong string) {
	v = &Revision{}
	d := &reader{b: b}
	seen := uint64(0)
	for d.err == "" && d.left() > 0 {
		tag := d.uvarint()
		x := &reader{b: d.text()}
		switch {
		case tag == tagFile && len(v.Files) == maxFiles, tag == tagFinding && len(v.Findings) == maxFindings:
			return nil, fmt.Sprintf("more than %d files or %d findings", maxFiles, maxFindings)
		case tag != tagFile && tag != tagFinding && tag <= tagReceipt && seen&(1<<tag) != 0:
			return nil, fmt.Sprintf("field %d comes twice", tag)
		case tag == tagConfig && len(x.b) > maxConfig, tag == tagReceipt && len(x.b) > maxReceipt:
			return nil, fmt.Sprintf("field %d has %d bytes", tag, len(x.b))
		case tag <= tagReceipt:
			seen |= 1 << tag
		}
		switch tag {
		case tagModel:
			v.Model = string(x.b)
		case tagNumber:
			v.Number = int(x.varint())
		case tagRoot:
			v.Root = string(x.b)
		case tagConfig:
			v.Config = append([]byte{}, x.b...)
		case tagFile:
			v.Files = append(v.Files, tensor.File{
				Name: string(x.text()), Size: x.varint(), ModTime: fromUnixNano(x.varint()),
				Inode: x.uvarint(), Format: string(x.text()),
			})
		case tagFinding:
			v.Findings = append(v.Findings, tensor.Finding{
				Rule: string(x.text()), File: string(x.text()), Tensor: string(x.text()), Message: string(x.text()),
			})
		case tagCreated:
			v.Created = fromUnixNano(x.varint())
		case tagTool:
			v.Tool = string(x.b)
		case tagHashed:
			v.Hashed = x.varint() != 0
		case tagTensors:
			v.Tensors = int(x.varint())
		case tagBytes:
			v.Bytes = x.varint()
		case tagSource:
			v.Source = string(x.b)
		case tagLayout:
			v.Layout = string(x.b)
		case tagReceipt:
			v.Receipt = append([]byte{}, x.b...)
		}
		if x.err != "" {
			d.fail(x.err)
		}
	}
	if d.err != "" {
		return nil, d.err
	}
	return v, v.wrong()
}

// noTime marks a time that was not set: year 1 is out of UnixNano's range.
const noTime = -1 << 63

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return tensor.Moment(t).UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
