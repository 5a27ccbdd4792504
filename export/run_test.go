package export

import (
	"os"
	"path/filepath"
	"testing"
)

// A header that the disk has otherwise than it was written, and a shard that grew or
// lost its end, are found before anything lands.
func TestHeadersBack(t *testing.T) {
	header := []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}")
	p := &Plan{headers: [][]byte{header}, Shards: []Shard{{Name: "model.safetensors", Bytes: 12}}}
	for content, ok := range map[string]bool{
		string(header) + "ab":                  true,
		string(header) + "abc":                 false,
		string(header) + "a":                   false,
		string(header[:9]):                     false,
		"\x02\x00\x00\x00\x00\x00\x00\x00{ ab": false,
		"\x03\x00\x00\x00\x00\x00\x00\x00{}ab": false,
	} {
		path := filepath.Join(t.TempDir(), "shard")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := p.headersBack([]*os.File{f}); (err == nil) != ok {
			t.Errorf("%q: %v", content, err)
		}
	}
}
