package pyjson

import (
	"bytes"
	"testing"
)

// documents pairs JSON with what Python's json.dump(indent=4) makes of it.
var documents = []struct{ in, want string }{
	{`{}`, `{}`},
	{`{"a":[],"b":{}}`, "{\n    \"a\": [],\n    \"b\": {}\n}"},
	{`{"a":[1,[2]]}`, "{\n    \"a\": [\n        1,\n        [\n            2\n        ]\n    ]\n}"},
	{`{"é":"\u00fc\ud83d\ude00\u007f\u2028/\"\\\b\f\n\r\t\u0001"}`, "{\n    \"\\u00e9\": \"\\u00fc\\ud83d\\ude00\\u007f\\u2028/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\"\n}"},
	{`{"a":1e-05}`, "{\n    \"a\": 1e-05\n}"},
	{`{"a":0.0001}`, "{\n    \"a\": 0.0001\n}"},
	{`{"a":1E5}`, "{\n    \"a\": 100000.0\n}"},
	{`{"a":1e15}`, "{\n    \"a\": 1000000000000000.0\n}"},
	{`{"a":1e16}`, "{\n    \"a\": 1e+16\n}"},
	{`{"a":1e22}`, "{\n    \"a\": 1e+22\n}"},
	{`{"a":1.5e300}`, "{\n    \"a\": 1.5e+300\n}"},
	{`{"a":-0.0}`, "{\n    \"a\": -0.0\n}"},
	{`{"a":-0}`, "{\n    \"a\": 0\n}"},
	{`{"a":0.1}`, "{\n    \"a\": 0.1\n}"},
	{`{"a":10.50}`, "{\n    \"a\": 10.5\n}"},
	{`{"a":123456789012345678901234567890}`, "{\n    \"a\": 123456789012345678901234567890\n}"},
	{`{"a":1e999}`, "{\n    \"a\": {\n        \"__float__\": \"Infinity\"\n    }\n}"},
	{`{"a":[-1e999,true,null]}`, "{\n    \"a\": [\n        {\n            \"__float__\": \"-Infinity\"\n        },\n        true,\n        null\n    ]\n}"},
}

func TestPythonJSON(t *testing.T) {
	for _, c := range documents {
		doc, err := Parse([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got, err := doc.Python(); err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.in, err, got, c.want)
		}
	}
}

func TestDocumentRefuses(t *testing.T) {
	for _, in := range []string{``, `[]`, `1`, `{`, `{"a":}`, `{} {}`, `{"a":1}x`, `{"a":` + string(bytes.Repeat([]byte("["), 200)) + string(bytes.Repeat([]byte("]"), 200)) + `}`} {
		if doc, err := Parse([]byte(in)); err == nil {
			t.Errorf("%.20q gives %v", in, doc)
		}
	}
}
