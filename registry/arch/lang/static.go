package lang

import (
	"errors"
	"fmt"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// static finds what is wrong with a file whatever the config: undefined names above
// all. Every fault is reported, in the file's order.
func (a *Arch) static() error {
	var faults []error
	lines := strings.Split(a.text, "\n")
	walk(a.Body, func(st *Statement) {
		if err := a.staticFault(st); err != nil {
			faults = append(faults, &expr.SyntaxError{File: st.Pos.Filename, Line: st.Pos.Line, Column: st.Pos.Column, Text: lines[st.Pos.Line-1], Message: err.Error()})
		}
	})
	return errors.Join(faults...)
}

func (a *Arch) staticFault(st *Statement) error {
	switch {
	case st.Use != nil && strings.Contains(st.Use.Name, "{"):
		return nil // which one it is, config.json says
	case st.Use != nil:
		b, err := a.Block(st.Use.Name)
		if b != nil || err != nil {
			return err
		}
		_, err = Used(st.Use.Name)
		return err
	case st.Tensor != nil:
		_, err := st.Tensor.Type()
		return err
	case st.Rule != nil:
		return st.Rule.Complete()
	case st.Read != nil:
		_, err := st.Read.Kind()
		return err
	}
	return nil
}

// Used is the architecture of layout mlx that has the name used, which no block has.
func Used(name string) (*Arch, error) {
	a, err := ByName(name)
	if err != nil {
		return nil, fmt.Errorf("use %s: no block or architecture has this name", name)
	}
	return a, nil
}

// Type is what the declaration asks for; Invalid: any float.
func (d *Tensor) Type() (tensor.DType, error) {
	if d.DType == "" {
		return tensor.Invalid, nil
	}
	dt, ok := tensor.ParseDType(d.DType)
	if !ok {
		return dt, fmt.Errorf("tensor %s: unknown dtype %s", d.Name, d.DType)
	}
	return dt, nil
}

// Complete reports that a drop says why, and a quant how.
func (d *Rule) Complete() error {
	because, err := Unquoted(d.Because)
	switch {
	case err != nil:
		return err
	case d.Word == "drop" && because == "":
		return fmt.Errorf(`drop %s: say why: drop … because "…"`, d.Patterns[0])
	case d.Word == "quant" && d.No == "" && d.Bits == 0:
		return fmt.Errorf("quant %s: say how: 8/64 (bits and group size), no, or never", d.Patterns[0])
	}
	return nil
}

// Codec is how a tensor may be stored: the roles that the tensors beside it need.
type Codec struct{ Need []string }

var codecs = map[string]Codec{
	"fp8":   {[]string{"scale"}},             // e4m3 × block scales
	"int4":  {[]string{"packed", "scale"}},   // compressed-tensors pack-quantized
	"fp4":   {[]string{"packed", "scale"}},   // two e2m1 codes a byte, a scale byte a group
	"mxfp4": {[]string{"blocks", "scales"}},  // gpt-oss
	"mxfp8": {[]string{"scale"}},             // e4m3 with e8m0 scales, kept packed
	"nvfp4": {[]string{"scale"}},             // e2m1 codes with e4m3 scales a group of 16, kept packed
	"tiles": {[]string{"scale"}},             // e4m3 or e2m1 codes with one e8m0 scale for 32 rows, or for each
	"awq":   {[]string{"qweight", "scales"}}, // and zeros
}

// Kind is the stored form that the statement names.
func (d *Read) Kind() (Codec, error) {
	kind, ok := codecs[d.Codec]
	if !ok {
		return kind, fmt.Errorf("read: unknown stored form %s; known are fp8 int4 fp4 mxfp4 mxfp8 nvfp4 tiles awq", d.Codec)
	}
	return kind, nil
}

// Unquoted is the text of a string as it is written.
func Unquoted(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	n, err := expr.Parse(text)
	if err != nil {
		return "", err
	}
	t, _ := n.Value.Text()
	return t, nil
}
