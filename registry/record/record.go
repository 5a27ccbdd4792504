// Package record keeps what is known of a revision beside its tensors: its [Revision],
// the bytes that store it, and the names that models may have.
//
// Most users need [Encode], [Decode], [CheckName] and [ParseRef].
//
// Invariants: whatever is decoded was checked by [Revision.Fault]; what no reader
// would take is not written either; a field of an unknown tag is skipped.
package record

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// Revision describes one ingested checkpoint.
type Revision struct {
	Model    string // "hunyuan"
	Number   int    // 1, 2, …; Put assigns it
	Root     string // absolute path ingest.Open was given (folder or file)
	Config   []byte // config.json as found, nil when there was none
	Files    []tensor.File
	Findings []tensor.Finding
	Created  time.Time
	Tool     string // "wreg 0.1.0"
	Hashed   bool   // tensors carry Hash and Sum
	Tensors  int    // counted by Put
	Bytes    int64  // summed by Put
	Source   string // "hunyuan@1" when exported from it, else ""
	Layout   string // "hf", "mlx", … when known
	Receipt  []byte // wreg-receipt.json of an export, nil otherwise
	Naming   tensor.Naming
	Adapter  []byte // adapter_config.json of an adapter, {} without one, nil for a model
}

// Ref is "hunyuan@2".
func (v *Revision) Ref() string { return v.Model + "@" + strconv.Itoa(v.Number) }

// Far reports a checkpoint that lies elsewhere: its root is an address.
func (v *Revision) Far() bool { return strings.Contains(v.Root, "://") }

// Reread is the command that reads every byte of the checkpoint, as far as it can be told without quotes.
func (v *Revision) Reread() string {
	flag := "--rehash"
	if v.Far() {
		flag = "--verify"
	}
	if !plainRoot.MatchString(v.Root) || !v.Naming.IsZero() || CheckName(v.Model) != nil {
		return "wreg ingest " + flag
	}
	return fmt.Sprintf("wreg ingest %s --name %s %s", v.Root, v.Model, flag)
}

// plainRoot is a root that a shell takes as it is.
var plainRoot = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/.,:@_+-]*$`)

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
	tagStrip
	tagAdd
	tagAdapter
	tagLast = tagAdapter
)

// Encode writes a record.
func Encode(v *Revision) []byte {
	var b []byte
	text := func(tag uint64, s string) {
		if s != "" {
			b = codec.AppendText(binary.AppendUvarint(b, tag), s)
		}
	}
	number := func(tag uint64, n int64) { text(tag, string(binary.AppendVarint(nil, n))) }

	text(tagModel, v.Model)
	number(tagNumber, int64(v.Number))
	text(tagRoot, v.Root)
	if v.Config != nil {
		b = codec.AppendText(binary.AppendUvarint(b, tagConfig), v.Config)
	}
	for _, f := range v.Files {
		x := codec.AppendText(nil, f.Name)
		x = binary.AppendVarint(x, f.Size)
		x = binary.AppendVarint(x, unixNano(f.ModTime))
		x = binary.AppendUvarint(x, f.Inode)
		x = codec.AppendText(x, f.Format)
		if usual := presumed(f.Format, v.Hashed); f.Digest != "" || f.Trust != usual && f.Trust != tensor.TrustUnset {
			x = append(codec.AppendText(x, f.Digest), byte(cmp.Or(f.Trust, usual)))
		}
		text(tagFile, string(x))
	}
	for _, f := range v.Findings {
		var x []byte
		for _, s := range []string{f.Rule, f.File, f.Tensor, f.Message} {
			x = codec.AppendText(x, s)
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
		b = codec.AppendText(binary.AppendUvarint(b, tagReceipt), v.Receipt)
	}
	text(tagStrip, v.Naming.Strip)
	text(tagAdd, v.Naming.Add)
	if v.Adapter != nil {
		b = codec.AppendText(binary.AppendUvarint(b, tagAdapter), v.Adapter)
	}
	return b
}

// Decode reads a record; the message says what is wrong, "" nothing. What
// it returns does not refer to b.
func Decode(b []byte) (v *Revision, wrong string) {
	v = &Revision{}
	d := codec.NewReader(b)
	seen := uint64(0)
	for d.Err == "" && d.Left() > 0 {
		tag := d.Uvarint()
		raw := d.Text()
		x := codec.NewReader(raw)
		switch {
		case tag == tagFile && len(v.Files) == MaxFiles, tag == tagFinding && len(v.Findings) == MaxFindings:
			return nil, fmt.Sprintf("more than %d files or %d findings", MaxFiles, MaxFindings)
		case tag != tagFile && tag != tagFinding && tag <= tagLast && seen&(1<<tag) != 0:
			return nil, fmt.Sprintf("field %d comes twice", tag)
		case (tag == tagConfig || tag == tagAdapter) && len(raw) > MaxConfig, tag == tagReceipt && len(raw) > MaxReceipt:
			return nil, fmt.Sprintf("field %d has %d bytes", tag, len(raw))
		case tag <= tagLast:
			seen |= 1 << tag
		}
		switch tag {
		case tagModel:
			v.Model = string(raw)
		case tagNumber:
			v.Number = int(x.Varint())
		case tagRoot:
			v.Root = string(raw)
		case tagConfig:
			v.Config = append([]byte{}, raw...)
		case tagFile:
			f := tensor.File{
				Name: string(x.Text()), Size: x.Varint(), ModTime: fromUnixNano(x.Varint()),
				Inode: x.Uvarint(), Format: string(x.Text()),
			}
			if x.Err == "" && x.Left() > 0 {
				f.Digest, f.Trust = string(x.Text()), tensor.Trust(x.Byte())
			}
			v.Files = append(v.Files, f)
		case tagFinding:
			v.Findings = append(v.Findings, tensor.Finding{
				Rule: string(x.Text()), File: string(x.Text()), Tensor: string(x.Text()), Message: string(x.Text()),
			})
		case tagCreated:
			v.Created = fromUnixNano(x.Varint())
		case tagTool:
			v.Tool = string(raw)
		case tagHashed:
			v.Hashed = x.Varint() != 0
		case tagTensors:
			v.Tensors = int(x.Varint())
		case tagBytes:
			v.Bytes = x.Varint()
		case tagSource:
			v.Source = string(raw)
		case tagLayout:
			v.Layout = string(raw)
		case tagReceipt:
			v.Receipt = append([]byte{}, raw...)
		case tagStrip:
			v.Naming.Strip = string(raw)
		case tagAdd:
			v.Naming.Add = string(raw)
		case tagAdapter:
			v.Adapter = append([]byte{}, raw...)
		}
		if x.Err != "" {
			d.Fail(x.Err)
		}
	}
	if d.Err != "" {
		return nil, d.Err
	}
	v.presume()
	return v, v.Fault()
}

// Trusted is v with the trust of its files stated.
func (v Revision) Trusted() Revision {
	v.Files = slices.Clone(v.Files)
	v.presume()
	return v
}

// presume states the trust of files where nobody did.
func (v *Revision) presume() {
	for i := range v.Files {
		v.Files[i].Trust = cmp.Or(v.Files[i].Trust, presumed(v.Files[i].Format, v.Hashed))
	}
}

// presumed is the trust of a file of which none is stated, as of all in older records.
func presumed(format string, hashed bool) tensor.Trust {
	switch {
	case format == "json":
		return tensor.TrustUnset
	case hashed:
		return tensor.TrustHashed
	}
	return tensor.TrustHeader
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
