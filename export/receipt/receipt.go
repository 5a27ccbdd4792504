// Package receipt holds the proof that an export leaves, wreg-receipt.json, and checks
// folders against it.
//
// Most users need [Verify] (an exported folder against its receipt), [VerifyModel] (an
// ingested checkpoint against what the registry recorded of it) and [Receipt].
//
// Invariants: a receipt holds nothing that differs between two runs of one plan; its
// last line is the SHA-256 of everything before it; what is wrong is a [tensor.Finding], an
// error means that nothing could be checked; what the bytes cannot show is listed in
// NotChecked, never passed over.
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"wreg/registry/tensor"
)

// Name is the name of a receipt in the folder it is of.
const Name = "wreg-receipt.json"

// Format is the version of wreg-receipt.json.
const Format = 1

// In reports whether a folder has the proof of an export in it, right or not.
func In(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, Name))
	return err == nil
}

// Receipt is the proof an export leaves: wreg-receipt.json. It holds nothing that
// differs between two runs of one plan.
type Receipt struct {
	Format       int      `json:"receipt"`
	Tool         string   `json:"tool"`
	Model        string   `json:"model"`
	Architecture string   `json:"architecture"`
	Target       string   `json:"target"`
	DType        string   `json:"dtype,omitempty"`
	Prove        string   `json:"prove"`
	Plan         string   `json:"plan"` // equal for exports that must give equal bytes
	Root         string   `json:"root"` // where the source lay
	Inputs       []File   `json:"inputs"`
	Files        []File   `json:"files"`
	Shards       []Shard  `json:"shards"`
	Tensors      []Tensor `json:"tensors"`
	Sources      []Source `json:"sources"`

	// Infos are the output tensors as the registry keeps them. A Hash is known when
	// one source was copied whole, and with sha256; slices when a stack was copied;
	// statistics of copies, stacks too, whose sources have them.
	Infos []tensor.Info `json:"-"`
}

// File is a file of the source or of the output.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"` // of the output's, and of a source's that was read whole

	// Of a source's that lies elsewhere: what is declared of it there, and what is known of it
	// for that: "verified" when it was read whole and is that, "hashed" when there is nothing
	// to compare it with.
	Declared string `json:"declared,omitempty"`
	Trust    string `json:"trust,omitempty"`
}

// Shard is a shard of the output. Its tensors are proven one by one.
type Shard struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Header int64  `json:"header"` // bytes before the first tensor
	SHA256 string `json:"sha256"` // of the header
}

// Tensor is an output tensor: how it was made and what it is.
type Tensor struct {
	Path   string       `json:"path"`
	DType  string       `json:"dtype"`
	Shape  tensor.Shape `json:"shape"`
	File   string       `json:"file"`
	Offset int64        `json:"offset"`
	Bytes  int64        `json:"bytes"`
	Rule   string       `json:"rule"`
	Steps  string       `json:"steps"`
	XXH3   string       `json:"xxh3"`
	SHA256 string       `json:"sha256,omitempty"`
	From   []string     `json:"from"`
	Parts  []Part       `json:"parts,omitempty"` // when it was joined from several
}

// Part is what one input of a stack became.
type Part struct {
	From   string `json:"from,omitempty"` // when exactly one source made it
	Bytes  int64  `json:"bytes"`
	XXH3   string `json:"xxh3"`
	SHA256 string `json:"sha256,omitempty"`
}

// Source accounts for a source tensor.
type Source struct {
	Path    string   `json:"path"`
	Bytes   int64    `json:"bytes"`
	File    string   `json:"file,omitempty"` // of the inputs, where its digest is what proves it
	XXH3    string   `json:"xxh3,omitempty"`
	SHA256  string   `json:"sha256,omitempty"`
	Checked string   `json:"checked,omitempty"` // how its bytes were compared with the registry's
	Into    []string `json:"into,omitempty"`
	Dropped string   `json:"dropped,omitempty"` // why it was left out
	Rule    string   `json:"rule,omitempty"`
}

// seal begins the end of a receipt: the SHA-256 of everything before it, so that a
// receipt that lies alone shows damage to itself.
const seal = ",\n \"sha256\": \""

// Sealed reports whether a receipt's seal is there and fits.
func Sealed(data []byte) bool {
	cut := max(bytes.LastIndex(data, []byte(seal)), 0)
	return bytes.Equal(data[cut:], appendSeal(nil, data[:cut]))
}

func appendSeal(dst, data []byte) []byte {
	return fmt.Appendf(dst, "%s%x\"\n}\n", seal, sha256.Sum256(data))
}

// JSON is wreg-receipt.json: one line for each tensor, so that two receipts can be
// compared line by line.
func (r *Receipt) JSON() ([]byte, error) {
	head := *r
	head.Tensors, head.Sources = nil, nil
	top, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return nil, err
	}
	// The two long lists come last, one line per entry.
	cut := bytes.Index(top, []byte(",\n \"tensors\": null"))
	b := bytes.NewBuffer(top[:cut:cut])
	if err := appendLines(b, "tensors", r.Tensors); err != nil {
		return nil, err
	}
	if err := appendLines(b, "sources", r.Sources); err != nil {
		return nil, err
	}
	sealed := appendSeal(b.Bytes(), b.Bytes())
	if len(sealed) > MaxBytes {
		return nil, fmt.Errorf("the receipt of %d tensors made of %d takes %d bytes; at most %d are read again", len(r.Tensors), len(r.Sources), len(sealed), MaxBytes)
	}
	return sealed, nil
}

func appendLines[T any](b *bytes.Buffer, key string, items []T) error {
	fmt.Fprintf(b, ",\n %q: [", key)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n  ")
		if err := e.Encode(items[i]); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // Encode's newline
	}
	b.WriteString("\n ]")
	return nil
}
