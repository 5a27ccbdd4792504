package globals

import (
	"fmt"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
)

// Unknown is a tensor made by something that is not known: its bytes are not known
// either, whatever it is given.
type Unknown struct{ Maker string }

// Error says so, and what to do.
func (u *Unknown) Error() string {
	return fmt.Sprintf("a tensor made by %s, which is unknown and not run, so its bytes are unknown: load the file with the software that wrote it and save a state dict of plain tensors", u.Maker)
}

// wrapper makes a tensor that is only a shape around the tensors of its state.
const wrapper = "torch._utils._rebuild_wrapper_subclass"

// unknown is what a value comes from that something unknown has made.
func unknown(v any) *Unknown {
	switch v := v.(type) {
	case *Unknown:
		return v
	case *pickle.Object:
		if v.Called && v.Class.String() != wrapper && !isLegacy(v) {
			return &Unknown{v.Class.String()}
		}
	}
	return nil
}

// Given says that an object may be a tensor that something unknown has made of the
// storages or tensors it was given. A class keeps what it is given, as far as one can tell
// a class, by its capital, from a function.
func Given(o *pickle.Object) *Unknown {
	if !o.Called || o.Class.String() == wrapper || o.Class.Count == nil && o.Class.Module != "torch" || o.Class.Module == "torch.return_types" {
		return nil
	}
	last := strings.TrimLeft(o.Class.Name[strings.LastIndexByte(o.Class.Name, '.')+1:], "_")
	class := last != "" && last[0] >= 'A' && last[0] <= 'Z' && !(o.Class.Module == "torch" && strings.HasSuffix(last, "Tensor"))
	for _, a := range o.Args {
		switch a.(type) {
		case *strided.Storage:
			return &Unknown{o.Class.String()}
		case *strided.View, *Attributed, *Parts:
			if !class {
				return &Unknown{o.Class.String()}
			}
		}
	}
	return nil
}
