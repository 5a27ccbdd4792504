package gaps

import (
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// want is one tensor that should be there: of any shape when it is nil, of any
// dtype when it is Invalid.
type want struct {
	arch.Want
	castable bool    // floats of another dtype will do
	content  content // what its bytes should be, where that is known
	reason   string  // why it would be missing, where the expectation knows better
	remedy   string
}

// expectation is what a model is measured against.
type expectation struct {
	against          string // "spec hunyuan", "layers", "hunyuan@1"
	layout           string
	wants            []want
	found            []arch.Gap           // the answer, where nothing is left to be compared; else nil
	foreign          map[string]*arch.Gap // weights that other software quantized here, not there
	notes, doubts    []string
	mapped           bool                     // see Found
	unlike, unproven []string                 // likewise
	uncompared       []arch.Gap               // likewise, of all tensors
	present          present                  // what is there, when not simply the model's tensors
	extra            func(path string) string // why a tensor is extra, "": it is not; nil: the usual
}

// present is the side that is measured.
type present interface {
	whole(path string) (tensor.Info, bool)
	each(whole bool, yield func(tensor.Info) bool)
}

// side is what is measured: the model's tensors, unless the expectation says what.
func (e *expectation) side(c *modelView) present {
	if e.present != nil {
		return e.present
	}
	return c
}

func (e *expectation) whyExtra(path string) string {
	if e.extra != nil {
		return e.extra(path)
	}
	return "not in " + e.against
}

// uncertain adds a tensor that may have changed: nothing compares its content.
func (e *expectation) uncertain(w arch.Want) {
	e.uncompared = append(e.uncompared, arch.Gap{Status: arch.Changed, Want: w})
}

// doubt notes what was not compared by its bytes.
func (e *expectation) doubt(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	e.notes, e.doubts = append(e.notes, n), append(e.doubts, n)
}
