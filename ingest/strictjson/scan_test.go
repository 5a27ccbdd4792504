package strictjson

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"wreg/ingest/ingesttest"
)

// values are JSON values and whether each is one. They seed the fuzzer too.
var values = []struct {
	text string
	ok   bool
}{
	{`{}`, true}, {`[]`, true}, {`""`, true}, {`0`, true}, {`-0.5e+10`, true}, {`true`, true}, {`false`, true}, {`null`, true},
	{` [ 1 , { "a" : [ ] , "b" : "\u00e9\ud83d\ude00\n" } ] `, true},
	{`[[[[1]]],{"a":{"b":{}}}]`, true}, {`"` + "\u2028é" + `"`, true},
	{``, false}, {`{`, false}, {`[`, false}, {`}`, false}, {`[1,]`, false}, {`[,1]`, false}, {`{"a":1,}`, false}, {`{"a"}`, false}, {`{1:2}`, false},
	{`[1 2]`, false}, {`[1}`, false}, {`{"a":1]`, false}, {`01`, false}, {`+1`, false}, {`1.`, false}, {`.5`, false}, {`1e`, false}, {`--1`, false},
	{`tru`, false}, {`nulll`, false}, {`NaN`, false}, {`"`, false}, {`"\x"`, false}, {`"\u12"`, false}, {"\"\n\"", false}, {`'a'`, false}, {`1 1`, false}, {"[]\x00", false},
}

func valid(text string) error {
	if err := Check(text); err != nil {
		return err
	}
	s := Scanner{Text: text}
	if err := s.Skip(); err != nil {
		return err
	}
	return s.End()
}

func TestSkip(t *testing.T) {
	for _, v := range values {
		if err := valid(v.text); (err == nil) != v.ok {
			t.Errorf("%q: %v", v.text, err)
		}
	}
	for depth, ok := range map[int]bool{maxDepth: true, maxDepth + 1: false, 100_000: false} {
		if err := valid(strings.Repeat("[", depth) + strings.Repeat("]", depth)); (err == nil) != ok {
			t.Errorf("%d deep: %v", depth, err)
		}
	}
}

func TestStr(t *testing.T) {
	for _, c := range []struct {
		text, want string
		unusual    bool
	}{
		{`"plain.path.0"`, "plain.path.0", false}, {`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t", true}, {`"\u0000\u00E9\ud83d\uDE00"`, "\x00é😀", true},
		{`"é"`, "é", true}, {"\"\x7f\"", "\x7f", true}, {`""`, "", false},
	} {
		s := Scanner{Text: c.text}
		if got, err := s.Str(); got != c.want || err != nil || s.Unusual != c.unusual || s.Pos != len(c.text) {
			t.Errorf("%s: %q, %v, unusual %v, at %d", c.text, got, err, s.Unusual, s.Pos)
		}
		back, err := AppendString(nil, c.want)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(back, &got); err != nil || got != c.want {
			t.Errorf("%q written as %s: %q, %v", c.want, back, got, err)
		}
	}
	for _, text := range []string{`"\ud800"`, `"\ud800x"`, `"\ud800\u0041"`, `"\udc00"`, `"\ud800\ud800"`} {
		s := Scanner{Text: text}
		if got, err := s.Str(); err == nil {
			t.Errorf("%s was read as %q", text, got)
		}
	}
	if _, err := AppendString(nil, "\xff"); err == nil {
		t.Error("wrote what is no UTF-8")
	}
}

func TestInteger(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, " 7": 7, "9223372036854775807": math.MaxInt64, "100000000000000000": 1e17} {
		s := Scanner{Text: text}
		if got, err := s.Integer(); got != want || err != nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "-0", "+1", "01", "00", "1.0", "1e3", "1E3", "9223372036854775808", "18446744073709551616", strings.Repeat("9", 100), "x", `"1"`} {
		s := Scanner{Text: text}
		if got, err := s.Integer(); err == nil {
			t.Errorf("%s was read as %d", text, got)
		}
	}
}

// TestError: an error says where.
func TestError(t *testing.T) {
	var e *Error
	if err := valid(`[1, x]`); !errors.As(err, &e) || e.Pos != 4 || !strings.Contains(err.Error(), "offset 4") {
		t.Errorf("%v", err)
	}
	if err := valid("[\"a\xff\"]"); !errors.As(err, &e) || e.Pos != 3 {
		t.Errorf("%v", err)
	}
}

// FuzzSkip compares with encoding/json on what both can say: its parser takes broken
// UTF-8, lone surrogates and deep values, which this one does not.
func FuzzSkip(f *testing.F) {
	for _, v := range values {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var err error
		ingesttest.Bounded(t, len(text), func() { err = valid(text) })
		if err == nil && !json.Valid([]byte(text)) {
			t.Fatalf("%q: read, but it is not JSON", text)
		}
		if err != nil && json.Valid([]byte(text)) && utf8.ValidString(text) && !strings.Contains(text, `\u`) && !strings.Contains(err.Error(), "deeper") {
			t.Fatalf("%q: %v, but it is JSON", text, err)
		}
		s := Scanner{Text: text}
		if n, err := s.Integer(); err == nil {
			if m, err := strconv.ParseInt(strings.Trim(text[:s.Pos], " \t\r\n"), 10, 64); err != nil || m != n {
				t.Fatalf("%q: %d, want %d, %v", text, n, m, err)
			}
		}
	})
}
