package safetensors

import (
	"errors"
	"fmt"
	"strings"

	"wreg/registry/tensor"
)

// The rules of the format. Every refusal is a *FormatError that wraps one of them.
var (
	ErrHeaderLength   = errors.New("header length does not fit the file")
	ErrHeaderTooLarge = errors.New("header is over the limit")
	ErrHeaderStart    = errors.New("header does not start with {")
	ErrUTF8           = errors.New("header is not UTF-8")
	ErrJSON           = errors.New("header is not JSON of the expected form")
	ErrTrailing       = errors.New("header goes on after its closing }")
	ErrDuplicateName  = errors.New("tensor name given twice")
	ErrDuplicateField = errors.New("field given twice")
	ErrMissingField   = errors.New("field missing")
	ErrMetadata       = errors.New("__metadata__ is not a map of strings")
	ErrName           = errors.New("tensor name out of bounds")
	ErrDType          = errors.New("unknown dtype")
	ErrShape          = errors.New("shape out of bounds")
	ErrOffsets        = errors.New("data_offsets out of bounds")
	ErrSize           = errors.New("data_offsets do not hold shape times dtype")
	ErrHole           = errors.New("bytes that belong to no tensor")
	ErrOverlap        = errors.New("bytes that belong to two tensors")
	ErrTruncated      = errors.New("tensors end past the file")
	ErrTrailingData   = errors.New("bytes after the last tensor")
	ErrTooMany        = errors.New("more tensors than are read")
)

// FormatError is a broken rule: where it broke and the numbers.
type FormatError struct {
	Rule    error  // one of the Err… of this package
	File    string // as given to Read
	Offset  int64  // in the file; of the data when Tensor is set, else of the header's text
	Message string // names the tensor, says the numbers
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: offset %d: %s", e.File, e.Offset, e.Message)
}

// Unwrap gives the rule, for errors.Is.
func (e *FormatError) Unwrap() error { return e.Rule }

func fault(rule error, file string, offset int64, format string, args ...any) *FormatError {
	return &FormatError{rule, file, offset, fmt.Sprintf(format, args...)}
}

// maxFaults bounds how many faults of one header are listed.
const maxFaults = 20

// faults collects broken rules, so that a user sees them all at once.
type faults struct {
	list []error
	more int
}

func (f *faults) add(e *FormatError) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, e)
	} else {
		f.more++
	}
}

func (f *faults) err(file string) error {
	if f.more > 0 {
		f.list = append(f.list, fmt.Errorf("%s: and %s like these", file, tensor.Count(f.more, "more fault")))
	}
	return errors.Join(f.list...)
}

// shorten keeps a hostile name from filling the screen.
func shorten(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}
