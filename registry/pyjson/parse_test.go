package pyjson

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLikePython: what Python 3.11's json.loads takes of a text read as UTF-8, and
// what json.dump(indent=4) makes of it with the floats tagged as mlx_lm tags them.
func TestLikePython(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":[0.0,Infinity]}`, `{"a":[0.0,{"__float__":"Infinity"}]}`},
		{`{"a":-Infinity,"b":NaN}`, `{"a":{"__float__":"-Infinity"},"b":{"__float__":"NaN"}}`},
		{`{"a":{"__float__":"Infinity"}}`, `{"a":{"__float__":"Infinity"}}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{`{"a":{"x":1},"a":{"y":2}}`, `{"a":{"y":2}}`},
		{"{\r\n\t\"a\" : 1 ,\r\n \"b\":[ ] }\r\n", `{"a":1,"b":[]}`},
		{`{"a":123456789012345678901234567890}`, `{"a":123456789012345678901234567890}`},
		{`{"a":-0,"b":-0.0,"c":0e5}`, `{"a":0,"b":-0.0,"c":0.0}`},
		{`{"a":"\ud83d"}`, `{"a":"\ud83d"}`},
		{`{"\udc00x\ud800\ud800\u0041":"\ud83d\ude00 \uDC00"}`, `{"\udc00x\ud800\ud800A":"\ud83d\ude00 \udc00"}`},
		{`{"a":1E400,"b":-1e400}`, `{"a":{"__float__":"Infinity"},"b":{"__float__":"-Infinity"}}`},
		{`{"a":5e-324,"b":1e-400,"c":0.10000000000000001}`, `{"a":5e-324,"b":0.0,"c":0.1}`},
		{`{"":null,"b":true,"c":false}`, `{"":null,"b":true,"c":false}`},
	} {
		o, err := Parse([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got, err := o.Python()
		if err != nil {
			t.Fatal(err)
		}
		var flat bytes.Buffer
		if err := json.Compact(&flat, got); err != nil || flat.String() != c.want {
			t.Errorf("%s gives %s, %v, want %s", c.in, flat.String(), err, c.want)
		}
		if err := Check([]byte(c.in)); err != nil {
			t.Errorf("%s: Check: %v", c.in, err)
		}
	}
}

// TestRefuses: what Python refuses too, and what is no JSON at all, by its name.
func TestRefuses(t *testing.T) {
	for _, c := range []struct{ in, message string }{
		{"\ufeff{}", "byte order mark"}, {"\xff\xfe{\x00}\x00", "UTF-16"}, {"\xff\xfe\x00\x00{\x00\x00\x00", "UTF-32"}, {"\x00\x00\xfe\xff\x00\x00\x00{", "UTF-32"}, {"{\"a\":\"\xff\"}", "offset 6: byte 0xff is not UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"},
		{`{"a":inf}`, "want a value"}, {`{"a":nan}`, "want a value"}, {`{"a":+1}`, "want a value"}, {`{"a":.5}`, "want a value"}, {`{"a":-}`, "want a value"},
		{`{"a":01}`, "want ','"}, {`{"a":1.}`, "want ','"}, {`{"a":1e}`, "want ','"}, {`{"a":1,}`, "want a key"}, {`[1,]`, "want a value"}, {`{a:1}`, "want a key"},
		{`{'a':1}`, "want a key"}, {`{"a" 1}`, "want ':'"}, {`{"a":1`, "unexpected EOF"}, {`{"a":"x`, "unexpected EOF"}, {`{"a":"\x"}`, "bad escape"}, {`{"a":"\u12g4"}`, "bad escape"},
		{"{\"a\":\"\n\"}", "control character"}, {`{} x`, "follows"}, {`{"a":1} // no`, "follows"}, {"", "unexpected EOF"},
		{`{"a":` + strings.Repeat("9", maxDigits+1) + `}`, "digits"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"},
		{"<!DOCTYPE html>\n<html>", "web page"}, {"\ufeff<HTML>", "web page"}, {"  <?xml version=\"1.0\"?><Error/>", "web page"},
	} {
		_, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%.40q: %v, want %s", c.in, err, c.message)
		}
		if err := Check([]byte(c.in)); err == nil {
			t.Errorf("%.40q: Check takes it", c.in)
		}
	}
	if _, err := Parse([]byte(`[]`)); err == nil {
		t.Error("a list is taken for an object")
	}
	if _, err := Parse([]byte(`{"a":[` + strings.Repeat("0,", maxValues) + `0]}`)); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("more than %d values: %v", maxValues, err)
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[Number]float64{"1": 1, "-0.5": -0.5, "1e999": math.Inf(1), "-Infinity": math.Inf(-1), "123456789012345678901234567890": 123456789012345678901234567890} {
		if got := in.Float(); got != want {
			t.Errorf("%s: %g", in, got)
		}
	}
	if _, ok := Number("9223372036854775808").Int(); ok {
		t.Error("2^63 fits 64 bits")
	}
	for _, v := range []any{nil, false, "", Number("0"), Number("0.0"), Number("-0"), int64(0), []any{}, New()} {
		if Truth(v) {
			t.Errorf("%v is true", v)
		}
	}
	for _, v := range []any{true, "x", Number("NaN"), Number("2"), []any{nil}} {
		if !Truth(v) {
			t.Errorf("%v is not true", v)
		}
	}
}

// FuzzParse: what encoding/json takes is taken, but for broken UTF-8 and size, and
// what is written reads back as the same.
func FuzzParse(f *testing.F) {
	for _, c := range documents {
		f.Add(c.in)
	}
	f.Add(`{"a":"\ud800","a":[NaN,1e999,{"b":null}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Parse([]byte(text))
		var any map[string]any
		if d := json.NewDecoder(strings.NewReader(text)); err != nil && utf8.ValidString(text) && json.Valid([]byte(text)) {
			if d.UseNumber(); d.Decode(&any) == nil && any != nil && !strings.Contains(err.Error(), "deeper") && !strings.Contains(err.Error(), "digits") {
				t.Fatalf("%q: %v, but it is an object", text, err)
			}
		}
		if (err == nil) != (Check([]byte(text)) == nil) && err != nil && err.Error() != "want an object" {
			t.Fatalf("%q: %v, but Check disagrees", text, err)
		}
		if err != nil {
			return
		}
		once, err := o.Python()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, once, err)
		}
		if twice, err := again.Python(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q then %q, %v", once, twice, err)
		}
	})
}
