package torch

import (
	"testing"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
)

// TestModuleClass makes an instance of a class that the older stream names by a
// persistent id, with its source beside it, as torch.save does for whole modules.
func TestModuleClass(t *testing.T) {
	f := newFile(t.Context(), nil, 1<<20, "t.pt")
	id := func(id any) (any, error) { return f.streamStorage(id, map[string]*strided.Storage{}) }
	r, err := f.load([]byte("\x80\x02(X\x06\x00\x00\x00modulecm\nNet\nX\x04\x00\x00\x00m.pyX\x04\x00\x00\x00passtQ)\x81}b."), id)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := r.Value.(*pickle.Object); !ok || o.Class.String() != "m.Net" {
		t.Errorf("a %s instead of m.Net", globals.KindOf(r.Value))
	}
}
