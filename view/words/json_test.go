package words

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// Indented gives what json.Indent gives, as far as it is asked to, whatever the depth.
func TestIndented(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `[[],{}]`, `{"a":{"b":[1,2.5e-3,"c"]},"d":null}`, ` { "a" : [ 1 , true ] } `, `"a"`, `7`, `{"[":"]","\"":"\\\"{","\\":"\\"}`, `[[[[1]]],[{"a":[]}]]`,
		`[1,`, `not JSON`, ``, `{"a":1}{`,
	} {
		want := text
		var b bytes.Buffer
		if json.Indent(&b, []byte(text), "", "  ") == nil {
			want = strings.TrimSpace(b.String()) // Indent keeps blanks after
		}
		if got, whole := Indented([]byte(text), 1<<20); got != want || !whole {
			t.Errorf("%s: %v, %q, want %q", text, whole, got, want)
		}
		for most := range len(want) {
			if got, whole := Indented([]byte(text), most); got != want[:most] || whole {
				t.Errorf("%s: the first %d bytes are %v, %q", text, most, whole, got)
			}
		}
	}
	const depth, most = 9_900, 256 << 10
	deep := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text, whole := Indented(deep, most)
	runtime.ReadMemStats(&after)
	if len(text) != most || whole {
		t.Errorf("%d bytes, whole %v", len(text), whole)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16*most {
		t.Errorf("%d bytes of JSON took %d", len(deep), took)
	}
}
