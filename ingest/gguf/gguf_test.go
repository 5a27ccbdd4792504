package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/ingest/ingesttest"
	"wreg/registry/tensor"
)

var le = binary.LittleEndian

// builder writes GGUF files piece by piece, sound or not.
type builder struct{ b []byte }

func (w builder) u32(v uint32) builder { return builder{le.AppendUint32(w.b, v)} }
func (w builder) u64(v uint64) builder { return builder{le.AppendUint64(w.b, v)} }
func (w builder) raw(s string) builder { return builder{append(w.b, s...)} }
func (w builder) str(s string) builder { return w.u64(uint64(len(s))).raw(s) }

// entry is one tensor; dims are innermost first, as in the file.
func (w builder) entry(name string, kind uint32, off uint64, dims ...uint64) builder {
	w = w.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		w = w.u64(d)
	}
	return w.u32(kind).u64(off)
}

// data pads to align and adds n bytes.
func (w builder) data(align, n int) []byte {
	b := w.b
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return append(b, make([]byte, n)...)
}

func head(version uint32, tensors, pairs uint64) builder {
	return builder{}.raw("GGUF").u32(version).u64(tensors).u64(pairs)
}

const f32, q80 = 0, 8

// cases are files and a part of the error that refuses them; "" when they are
// read. They seed the fuzzer too.
var cases = []struct {
	name  string
	file  []byte
	fails string
}{
	{"one tensor", head(3, 1, 0).entry("a", f32, 0, 4).data(32, 16), ""},
	{"version 2", head(2, 1, 0).entry("a", f32, 0, 4).data(32, 16), ""},
	{"no tensors", head(3, 0, 0).b, ""},
	{"every scalar of metadata", head(3, 0, 12).str("u8").u32(0).raw("\xff").str("i8").u32(1).raw("\xff").str("u16").u32(2).raw("\xff\xff").str("i16").u32(3).raw("\xff\xff").
		str("u32").u32(4).u32(7).str("i32").u32(5).u32(1<<32 - 7).str("f32").u32(6).u32(0x3fc00000).str("bool").u32(7).raw("\x01").str("s").u32(8).str("text").
		str("u64").u32(10).u64(1 << 63).str("i64").u32(11).u64(1<<64 - 1).str("f64").u32(12).u64(0x3ff8000000000000).b, ""},
	{"texts of bytes", head(3, 0, 2).str("general.author").u32(8).str("caf\xe9").str("tokenizer.ggml.tokens").u32(9).u32(8).u64(2).str("\xe4\xb8").str("\xff").b, ""},
	{"arrays", head(3, 0, 3).str("a").u32(9).u32(4).u64(2).u32(1).u32(2).str("b").u32(9).u32(8).u64(2).str("x").str("yz").
		str("c").u32(9).u32(9).u64(1).u32(0).u64(3).raw("abc").b, ""},
	{"alignment 64", head(3, 2, 1).str(alignmentKey).u32(4).u32(64).entry("a", f32, 0, 4).entry("b", f32, 64, 1).data(64, 68), ""},
	{"scalar and empty", head(3, 2, 0).entry("a", f32, 0).entry("b", f32, 32, 0, 3).data(32, 32), ""},
	{"quantized", head(3, 1, 0).entry("a", q80, 0, 64, 2).data(32, 4*34), ""},

	{"empty", nil, "not GGUF"},
	{"lower case magic", []byte("gguf\x03\x00\x00\x00"), "not GGUF"},
	{"ends after magic", []byte("GGUF"), "file is truncated"},
	{"version 1", head(1, 0, 0).b, "version 1"},
	{"version 99", head(99, 0, 0).b, "version 99"},
	{"big-endian", head(0x03000000, 0, 0).b, "big-endian"},
	{"2^62 tensors", head(3, 1<<62, 0).b, "cannot fit"},
	{"2^62 pairs", head(3, 0, 1<<62).b, "cannot fit"},
	{"key of 2^60 bytes", head(3, 0, 1).u64(1 << 60).u64(0).u64(0).b, "cannot fit"},
	{"key over the limit", head(3, 0, 1).str(strings.Repeat("k", MaxKey+1)).u32(0).raw("xxxx").b, "exceeds"},
	{"key twice", head(3, 0, 2).str("kkkk").u32(0).raw("x").str("kkkk").u32(0).raw("x").b, "given twice"},
	{"key is not UTF-8", head(3, 0, 1).str("\xff").u32(4).u32(0).b, "not UTF-8"},
	{"value type 13", head(3, 0, 1).str("k").u32(13).u64(0).b, "unknown value type"},
	{"bool 2", head(3, 0, 1).str("k").u32(7).raw("\x02").b, "bool is 2"},
	{"string value of 2^60", head(3, 0, 1).str("k").u32(8).u64(1 << 60).b, "cannot fit"},
	{"array of 2^62", head(3, 0, 1).str("k").u32(9).u32(10).u64(1 << 62).b, "cannot fit"},
	{"array of unknown type", head(3, 0, 1).str("k").u32(9).u32(77).u64(0).b, "unknown value type"},
	{"arrays nine deep", func() []byte {
		w := head(3, 0, 1).str("k").u32(9)
		for range 20 {
			w = w.u32(9).u64(1)
		}
		return w.b
	}(), "nest deeper"},
	{"alignment 0", head(3, 0, 1).str(alignmentKey).u32(4).u32(0).b, "power of two"},
	{"alignment 3", head(3, 0, 1).str(alignmentKey).u32(4).u32(3).b, "power of two"},
	{"alignment 2^31", head(3, 0, 1).str(alignmentKey).u32(4).u32(1 << 31).b, "power of two"},
	{"alignment as int32", head(3, 0, 1).str(alignmentKey).u32(5).u32(32).b, "int32"},
	{"9 dimensions", head(3, 1, 0).entry("a", f32, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1).data(32, 4), "9 dimensions"},
	{"dimension 2^63", head(3, 1, 0).entry("a", f32, 0, 1<<63).data(32, 4), "overflows"},
	{"product wraps", head(3, 1, 0).entry("a", f32, 0, 1<<32, 1<<32).data(32, 4), "overflows"},
	{"bytes wrap", head(3, 1, 0).entry("a", f32, 0, 1<<61, 2).data(32, 4), "overflow"},
	{"unknown type", head(3, 1, 0).entry("a", 4, 0, 4).data(32, 16), "unknown type 4"},
	{"offset not aligned", head(3, 1, 0).entry("a", f32, 4, 4).data(32, 64), "alignment"},
	{"offset past the end", head(3, 1, 0).entry("a", f32, 1<<40, 4).data(32, 16), "past the file"},
	{"offset wraps", head(3, 1, 0).entry("a", f32, 1<<64-32, 4).data(32, 16), "past the file"},
	{"tensor past the end", head(3, 1, 0).entry("a", f32, 0, 5).data(32, 16), "end past"},
	{"cut by a byte", head(3, 1, 0).entry("a", f32, 0, 4).data(32, 15), "end past"},
	{"overlap", head(3, 2, 0).entry("a", f32, 0, 16).entry("b", f32, 32, 4).data(32, 64), `inside "a"`},
	{"same bytes", head(3, 2, 0).entry("a", f32, 0, 4).entry("b", f32, 0, 4).data(32, 64), `inside "a"`},
	{"name twice", head(3, 2, 0).entry("a", f32, 0, 4).entry("a", f32, 32, 4).data(32, 64), "given twice"},
	{"partial block", head(3, 1, 0).entry("a", q80, 0, 33).data(32, 64), "do not fill blocks"},
	{"rows of partial blocks", head(3, 1, 0).entry("a", q80, 0, 16, 2).data(32, 64), "do not fill blocks"},
	{"scalar of blocks", head(3, 1, 0).entry("a", q80, 0).data(32, 64), "do not fill blocks"},
	{"name over the limit", head(3, 1, 0).entry(strings.Repeat("n", MaxName+1), f32, 0, 4).data(32, 16), "exceeds"},
}

func TestRead(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(t.Context(), bytes.NewReader(c.file), int64(len(c.file)), "m.gguf")
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "m.gguf: ") {
				t.Errorf("error %q does not name the file", err)
			}
		})
	}
}

func read(t *testing.T, name string) *File {
	t.Helper()
	for _, c := range cases {
		if c.name == name {
			f, err := Read(t.Context(), bytes.NewReader(c.file), int64(len(c.file)), "m")
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatal("no case " + name)
	return nil
}

func TestMetadata(t *testing.T) {
	want := map[string]any{"u8": uint64(255), "i8": int64(-1), "u16": uint64(65535), "i16": int64(-1), "u32": uint64(7), "i32": int64(-7),
		"f32": 1.5, "bool": true, "s": "text", "u64": uint64(1 << 63), "i64": int64(-1), "f64": 1.5}
	if d := cmp.Diff(want, read(t, "every scalar of metadata").Metadata()); d != "" {
		t.Error(d)
	}
	want = map[string]any{"general.author": "caf\xe9", "tokenizer.ggml.tokens": Array{"string", 2}}
	if d := cmp.Diff(want, read(t, "texts of bytes").Metadata()); d != "" {
		t.Error(d)
	}
	want = map[string]any{"a": Array{"uint32", 2}, "b": Array{"string", 2}, "c": Array{"array", 1}}
	if d := cmp.Diff(want, read(t, "arrays").Metadata()); d != "" {
		t.Error(d)
	}
}

func TestTensors(t *testing.T) {
	want := []tensor.Info{{Path: "a", DType: tensor.Q8_0, Shape: tensor.Shape{2, 64}, File: "m", Offset: 96, Bytes: 136, Format: "gguf"}}
	if d := cmp.Diff(want, read(t, "quantized").Tensors()); d != "" {
		t.Error(d)
	}
	if got := read(t, "alignment 64").Tensors(); got[1].Offset-got[0].Offset != 64 || got[0].Offset%64 != 0 {
		t.Errorf("%v", got)
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ no, count, wantNo, wantCount uint16 }{{1, 3, 1, 3}, {3, 3, 0, 0}, {0, 0, 0, 0}} {
		b := head(3, 0, 2).str("split.no").u32(2).raw(string(le.AppendUint16(nil, c.no))).str("split.count").u32(2).raw(string(le.AppendUint16(nil, c.count))).b
		f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m")
		if err != nil {
			t.Fatal(err)
		}
		if no, count := f.Split(); no != int(c.wantNo) || count != int(c.wantCount) {
			t.Errorf("%+v: %d of %d", c, no, count)
		}
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		file []byte
		rule string
	}{
		{head(3, 0, 0).b, "no-tensors"},
		{head(3, 1, 0).entry("a", f32, 64, 4).data(32, 80), "unused-bytes"},
		{head(3, 1, 0).entry("a", f32, 0, 4).data(32, 200), "unused-bytes"},
	} {
		f, err := Read(t.Context(), bytes.NewReader(c.file), int64(len(c.file)), "m")
		if err != nil || len(f.Findings()) != 1 || f.Findings()[0].Rule != c.rule {
			t.Errorf("%v, %v; want %s", f.Findings(), err, c.rule)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range cases {
		if len(c.file) < 4096 {
			f.Add(c.file)
		}
	}
	for _, pattern := range []string{"../testdata/fixtures/gguf/*.gguf", "../testdata/fixtures/hostile/gguf/*.gguf"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatal("no fixtures", err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got *File
		var err error
		ingesttest.Bounded(t, len(b), func() { got, err = Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m") })
		if err != nil {
			return
		}
		for i, info := range got.Tensors() {
			if info.Offset < 0 || info.Offset+info.Bytes > int64(len(b)) {
				t.Fatalf("%v lies outside the file", info)
			}
			if i > 0 && got.Tensors()[i-1].Path >= info.Path {
				t.Fatalf("%q after %q", info.Path, got.Tensors()[i-1].Path)
			}
			if _, err := got.Bytes(i); err != nil {
				t.Fatal(err)
			}
		}
		_ = fmt.Sprint(got.Metadata(), got.Findings())
	})
}
