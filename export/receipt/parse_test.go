package receipt

import (
	"strings"
	"testing"
)

// TestParse: what has more values than a receipt has is refused before it
// takes memory for them; what a text holds does not count.
func TestParse(t *testing.T) {
	rep := strings.Repeat
	for name, c := range map[string]struct{ text, want string }{
		"objects":      {`{"tensors":[{"parts":[` + rep(`{},`, maxObjects) + `{}]}]}`, "more than a receipt has"},
		"values":       {`{"tensors":[{"shape":[` + rep(`0,`, maxValues+1) + `0]}]}`, "more than a receipt has"},
		"tensors":      {`{"tensors":[` + rep(`{},`, maxListed) + `{}]}`, "objects in one list"},
		"all lists":    {`{"tensors":[` + rep(`{},`, maxListed-1) + `{}],"sources":[` + rep(`{},`, maxListed-1) + `{}]}`, ""},
		"items":        {`{"tensors":[{"from":[` + rep(`"",`, maxItems+1) + `""]}]}`, "more than a receipt has"},
		"nested":       {`{"x":` + rep("[", 100) + rep("]", 100) + `,"tensors":[{}]}`, ""},
		"long text":    {`{"model":"` + rep("a", maxText) + `"}`, "longer than a receipt's"},
		"few":          {`{"format":1,"tensors":[{},{}]}`, ""},
		"in a text":    {`{"format":1,"model":"\"\\\"` + rep(`{,`, maxText/4) + `"}`, ""},
		"after a text": {`{"format":1,"model":"\\","tensors":[` + rep(`{},`, maxListed) + `{}]}`, "objects in one list"},
	} {
		err := fits([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil {
			continue
		}
		if _, parsed := Parse([]byte(c.text)); parsed == nil || parsed.Error() != err.Error() {
			t.Errorf("%s: parsed with %v, want %v", name, parsed, err)
		}
	}
}

// TestWrittenIsRead: a receipt that would be refused when it is read is not written.
func TestWrittenIsRead(t *testing.T) {
	r := Receipt{Tensors: []Tensor{{Path: "a", Steps: strings.Repeat("x", MaxBytes)}}}
	if _, err := r.JSON(); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
}
