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
		"objects":      {`{"tensors":[` + rep(`{},`, maxObjects) + `{}]}`, "more than a receipt has"},
		"values":       {`{"tensors":[{"shape":[` + rep(`0,`, maxValues+1) + `0]}]}`, "more than a receipt has"},
		"few":          {`{"format":1,"tensors":[{},{}]}`, ""},
		"in a text":    {`{"format":1,"model":"\"\\\"` + rep(`{,`, maxObjects+1) + `"}`, ""},
		"after a text": {`{"format":1,"model":"\\","tensors":[` + rep(`{},`, maxObjects) + `{}]}`, "more than a receipt has"},
	} {
		_, err := Parse([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
