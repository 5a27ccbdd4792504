package shards

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/strictjson"
)

// indexCases are index files and a part of the error that refuses them; "" when
// they are read. They seed the fuzzer too.
var indexCases = []struct{ text, fails string }{
	{`{"weight_map":{}}`, ""},
	{`{"weight_map":{"a":"x.bin","b":"y.bin"},"metadata":{"total_size":8,"format":"pt"}}`, ""},
	{" {\n\"weight_map\" : { \"a\" : \"x.bin\" } }\n", ""},
	{`{"weight_map":{"a\u00e9\n":"x.bin"}}`, ""},
	{`{"weight_map":{"a":"é 1.bin"}}`, ""},

	{``, "want '{'"},
	{`[]`, "want '{'"},
	{"\ufeff{}", "want '{'"},
	{`{}`, "no weight_map"},
	{`{"weight_map":[1]}`, "not an object"},
	{`{"weight_map":null}`, "not an object"},
	{`{"weight_map":{"a":5}}`, "not the name of a shard"},
	{`{"weight_map":{"a":["x.bin"]}}`, "not the name of a shard"},
	{`{"weight_map":{"a":"x.bin","a":"y.bin"}}`, "given twice"},
	{`{"weight_map":{"a":"x.bin","\u0061":"y.bin"}}`, "given twice"},
	{`{"weight_map":{},"weight_map":{}}`, "given twice"},
	{`{"weight_map":{},"metadata":{"total_size":1,"total_size":2}}`, "given twice"},
	{`{"weight_map":{"a":"x.bin"}}}`, "goes on"},
	{`{"weight_map":{"a":"x.bin",}}`, `want '"'`},
	{`{"weight_map":{"a":"x.bin"`, "want ','"},
	{"{\"weight_map\":{\"\xff\":\"x.bin\"}}", "not UTF-8"},
	{`{"weight_map":{"\ud800":"x.bin"}}`, "lone surrogate"},
	{`{"weight_map":{"a":""}}`, "not the name of a file"},
	{`{"weight_map":{"a":".."}}`, "not the name of a file"},
	{`{"weight_map":{"a":"../x.bin"}}`, "not the name of a file"},
	{`{"weight_map":{"a":"/etc/passwd"}}`, "not the name of a file"},
	{`{"weight_map":{"a":"sub/x.bin"}}`, "beside its index"},
	{`{"weight_map":{"a":"sub/../x.bin"}}`, "beside its index"},
	{`{"weight_map":{"a":"C:\\x.bin"}}`, "beside its index"},
	{`{"weight_map":{"a":"C:x.bin"}}`, "beside its index"},
	{`{"weight_map":{"a":"x.bin:stream"}}`, "beside its index"},
	{`{"weight_map":{"a":"x.bin\u0000.pkl"}}`, "control character"},
	{`{"weight_map":{"a":"` + strings.Repeat("x", 256) + `"}}`, "exceeds 255"},
	{`{"weight_map":{"a":"m.index.json"}}`, "not JSON"},
	{`{"x":` + strings.Repeat("[", 100_000) + `}`, "nest deeper"},
	{`{"x":01,"weight_map":{}}`, "want a value"},
	{`{"x":-,"weight_map":{}}`, "want a value"},
	{`{"x":1.,"weight_map":{}}`, "want a value"},
	{`{"x":nul,"weight_map":{}}`, "want a value"},
}

func TestIndex(t *testing.T) {
	for _, c := range indexCases {
		x := &Index{}
		err := x.parse(t.Context(), c.text)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%.80q: error %v, want %q", c.text, err, c.fails)
		}
	}
	x := &Index{}
	if err := x.parse(t.Context(), `{"weight_map":{"b":"2.bin","a":"1.bin","c":"1.bin"},"metadata":{"total_size": 12 }}`); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Shards, []string{"1.bin", "2.bin"}) || !slices.Equal(x.Entries, []Entry{{"a", 0}, {"b", 1}, {"c", 0}}) || x.TotalSize != "12" {
		t.Errorf("%+v", x)
	}
}

func FuzzIndex(f *testing.F) {
	for _, c := range indexCases {
		if len(c.text) < 4096 {
			f.Add(c.text)
		}
	}
	names, err := filepath.Glob(filepath.Join("../testdata/fixtures", "hostile/index/*.index.json"))
	if err != nil || len(names) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var x *Index
		var err error
		ingesttest.Bounded(t, len(text), func() { x = &Index{}; err = x.parse(t.Context(), text) })
		if err != nil {
			return
		}
		for i, e := range x.Entries {
			if i > 0 && x.Entries[i-1].Path >= e.Path {
				t.Fatalf("%q after %q", e.Path, x.Entries[i-1].Path)
			}
			if shard := x.Shards[e.Shard]; strings.ContainsAny(shard, "/\\\x00") || !filepath.IsLocal(shard) {
				t.Fatalf("shard %q", shard)
			}
			if _, err := strictjson.AppendString(nil, e.Path); err != nil {
				t.Fatal(err)
			}
		}
	})
}
