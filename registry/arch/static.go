package arch

import (
	"errors"
	"fmt"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// static finds what is wrong with a file whatever the config: words that nothing
// goes by. All of them are told, in the file's order.
func (a *Arch) static() error {
	var faults []error
	lines := strings.Split(a.file.text, "\n")
	a.file.walk(func(st *statement) {
		if err := a.staticFault(st); err != nil {
			faults = append(faults, &expr.SyntaxError{File: st.Pos.Filename, Line: st.Pos.Line, Column: st.Pos.Column, Text: lines[st.Pos.Line-1], Message: err.Error()})
		}
	})
	return errors.Join(faults...)
}

func (a *Arch) staticFault(st *statement) error {
	switch {
	case st.Use != nil:
		b, err := a.block(st.Use.Name)
		if b != nil || err != nil {
			return err
		}
		_, err = st.Use.architecture()
		return err
	case st.Tensor != nil:
		_, err := st.Tensor.dtype()
		return err
	case st.Rule != nil:
		return st.Rule.complete()
	case st.Read != nil:
		_, err := st.Read.kind()
		return err
	}
	return nil
}

// architecture is the one that goes by the name that is used, and by no block.
func (u *use) architecture() (*Arch, error) {
	a, err := ByName(u.Name)
	if err != nil {
		return nil, fmt.Errorf("use %s: there is neither a block nor an architecture of this name", u.Name)
	}
	return a, nil
}

// dtype is what the declaration asks for; Invalid: any float.
func (d *declar) dtype() (tensor.DType, error) {
	if d.DType == "" {
		return tensor.Invalid, nil
	}
	dt, ok := tensor.ParseDType(d.DType)
	if !ok {
		return dt, fmt.Errorf("tensor %s: there is no dtype %s", d.Name, d.DType)
	}
	return dt, nil
}

// complete reports that a drop says why, and a quant how.
func (d *rule) complete() error {
	because, err := unquoted(d.Because)
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

func (d *read) kind() (codecKind, error) {
	kind, ok := codecKinds[d.Codec]
	if !ok {
		return kind, fmt.Errorf("read: there is no stored form %s; known are fp8 int4 fp4 mxfp4 mxfp8 nvfp4 tiles awq", d.Codec)
	}
	return kind, nil
}
