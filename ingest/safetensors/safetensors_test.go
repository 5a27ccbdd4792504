package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/ingest/ingesttest"
	"wreg/registry/tensor"
)

// file puts a header before data bytes.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func length(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

const w16 = `"dtype":"F32","shape":[4],"data_offsets":[0,16]`

// cases are files and the rule that each breaks; nil: it is read. They seed the
// fuzzer too.
var cases = []struct {
	name string
	file []byte
	rule error
}{
	{"one tensor", file(`{"w":{`+w16+`}}`, 16), nil},
	{"padding", file(`{"w":{`+w16+`}}   `, 16), nil},
	{"line ends inside", file("{\n\t\"w\" :\r\n {"+w16+"} }\n", 16), nil},
	{"metadata", file(`{"__metadata__":{"format":"pt","é":"\ud83d\ude00"},"w":{`+w16+`}}`, 16), nil},
	{"entries out of order", file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2), nil},
	{"scalar, empty tensor between", file(`{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[0,3],"data_offsets":[8,8]},"c":{"dtype":"BOOL","shape":[1],"data_offsets":[8,9]}}`, 9), nil},
	{"sub-byte", file(`{"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]},"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[3,6]}}`, 6), nil},
	{"metadata null, as mlx writes", file(`{"__metadata__":null,"w":{`+w16+`}}`, 16), nil},
	{"nothing", file(`{}`, 0), nil},
	{"extra field of any kind", file(`{"w":{"x":[1,{"y":[-1.5e3,true,null,"s",{},[]]}],`+w16+`}}`, 16), nil},
	{"escaped name", file(`{"a\u0000\n\"\\\/":{`+w16+`}}`, 16), nil},

	{"no bytes", nil, ErrHeaderLength},
	{"seven bytes", make([]byte, 7), ErrHeaderLength},
	{"header of 0", make([]byte, 8), ErrHeaderLength},
	{"header past the end", length(100, "{}"), ErrHeaderLength},
	{"header of 100,000,001", length(100_000_001, "{}"), ErrHeaderTooLarge},
	{"header of 2^62", length(1<<62, "{}"), ErrHeaderTooLarge},
	{"header of 2^63", length(1<<63, "{}"), ErrHeaderTooLarge},
	{"header of 2^64-1", length(1<<64-1, "{}"), ErrHeaderTooLarge},
	{"leading space", file(` {"w":{`+w16+`}}`, 16), ErrHeaderStart},
	{"byte order mark", file("\ufeff{}", 0), ErrHeaderStart},
	{"array", file(`[]`, 0), ErrHeaderStart},
	{"not UTF-8", file("{\"a\xff\":{"+w16+"}}", 16), ErrUTF8},
	{"not UTF-8 after the end", file("{}\xff", 0), ErrUTF8},
	{"NUL padding", file(`{"w":{`+w16+"}}\x00\x00", 16), ErrTrailing},
	{"garbage after", file(`{"w":{`+w16+`}}x`, 16), ErrTrailing},
	{"second object", file(`{"w":{`+w16+`}}{}`, 16), ErrTrailing},
	{"unclosed", file(`{"w":{`+w16+`}`, 16), ErrJSON},
	{"comma at the end", file(`{"w":{`+w16+`},}`, 16), ErrJSON},
	{"no comma", file(`{"w":{"dtype":"F32" "shape":[4],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"lone surrogate", file(`{"\ud800":{`+w16+`}}`, 16), ErrJSON},
	{"low surrogate first", file(`{"\udc00\ud800":{`+w16+`}}`, 16), ErrJSON},
	{"bad escape", file(`{"\x41":{`+w16+`}}`, 16), ErrJSON},
	{"bad hex", file(`{"\u00g0":{`+w16+`}}`, 16), ErrJSON},
	{"line end in a name", file("{\"a\nb\":{"+w16+"}}", 16), ErrJSON},
	{"name without end", file(`{"a`, 0), ErrJSON},
	{"escape without end", file(`{"a\`, 0), ErrJSON},
	{"tensor is an array", file(`{"w":[1]}`, 0), ErrJSON},
	{"deep", file(`{"w":{"x":`+strings.Repeat("[", 50_000)+strings.Repeat("]", 50_000)+`}}`, 0), ErrJSON},
	{"shape null", file(`{"w":{"dtype":"F32","shape":null,"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim 4.0", file(`{"w":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim 4e0", file(`{"w":{"dtype":"F32","shape":[4e0],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim -4", file(`{"w":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim 04", file(`{"w":{"dtype":"F32","shape":[04],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim true", file(`{"w":{"dtype":"F32","shape":[true],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim string", file(`{"w":{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim 2^63", file(`{"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"dim of 40 digits", file(`{"w":{"dtype":"F32","shape":[`+strings.Repeat("9", 40)+`],"data_offsets":[0,16]}}`, 16), ErrJSON},
	{"one offset", file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[16]}}`, 16), ErrJSON},
	{"three offsets", file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}}`, 16), ErrJSON},
	{"negative offset", file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}`, 16), ErrJSON},
	{"300 dims", file(`{"w":{"dtype":"F32","shape":[1`+strings.Repeat(",1", 299)+`],"data_offsets":[0,4]}}`, 4), ErrShape},
	{"2^32 x 2^32", file(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), ErrShape},
	{"bytes overflow", file(`{"w":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0), ErrShape},
	{"empty but overflowing", file(`{"w":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}`, 0), ErrShape},
	{"F4 of 3", file(`{"w":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1), ErrShape},
	{"F6 of 2", file(`{"w":{"dtype":"F6_E3M2","shape":[2],"data_offsets":[0,2]}}`, 2), ErrShape},
	{"unknown dtype", file(`{"w":{"dtype":"F31","shape":[4],"data_offsets":[0,16]}}`, 16), ErrDType},
	{"dtype in lower case", file(`{"w":{"dtype":"f32","shape":[4],"data_offsets":[0,16]}}`, 16), ErrDType},
	{"wreg's own dtype", file(`{"w":{"dtype":"C128","shape":[1],"data_offsets":[0,16]}}`, 16), ErrDType},
	{"reversed offsets", file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}`, 16), ErrOffsets},
	{"span too small", file(`{"w":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}`, 16), ErrSize},
	{"span too large", file(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}`, 16), ErrSize},
	{"cut by a byte", file(`{"w":{`+w16+`}}`, 15), ErrTruncated},
	{"cut by half", file(`{"w":{`+w16+`}}`, 8), ErrTruncated},
	{"trailing bytes", file(`{"w":{`+w16+`}}`, 17), ErrTrailingData},
	{"trailing bytes, no tensors", file(`{}`, 1), ErrTrailingData},
	{"hole at the start", file(`{"w":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 4), ErrHole},
	{"hole", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), ErrHole},
	{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), ErrOverlap},
	{"same bytes twice", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2), ErrOverlap},
	{"empty tensor inside another", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2), ErrOverlap},
	{"name twice", file(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), ErrDuplicateName},
	{"name twice, once escaped", file(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), ErrDuplicateName},
	{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), ErrDuplicateName},
	{"metadata key twice", file(`{"__metadata__":{"a":"1","a":"2"}}`, 0), ErrDuplicateField},
	{"field twice", file(`{"w":{"dtype":"F32",`+w16+`}}`, 16), ErrDuplicateField},
	{"no offsets", file(`{"w":{"dtype":"F32","shape":[4]}}`, 16), ErrMissingField},
	{"fields of the wrong case", file(`{"w":{"DType":"F32","shape":[4],"data_offsets":[0,16]}}`, 16), ErrMissingField},
	{"metadata with a number", file(`{"__metadata__":{"a":1}}`, 0), ErrMetadata},
	{"metadata is a tensor", file(`{"__metadata__":{`+w16+`}}`, 16), ErrMetadata},
	{"metadata null twice", file(`{"__metadata__":null,"__metadata__":null}`, 0), ErrDuplicateName},
	{"metadata false", file(`{"__metadata__":false}`, 0), ErrMetadata},
	{"metadata nil", file(`{"__metadata__":nil}`, 0), ErrMetadata},
	{"name of 8193 bytes", file(`{"`+strings.Repeat("w", MaxName+1)+`":{`+w16+`}}`, 16), ErrName},
}

func TestRead(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(t.Context(), bytes.NewReader(c.file), int64(len(c.file)), "m.safetensors")
			if !errors.Is(err, c.rule) {
				t.Fatalf("error %v, want %v", err, c.rule)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "m.safetensors: offset ") {
				t.Errorf("error %q does not name file and offset", err)
			}
		})
	}
}

func TestReadTensors(t *testing.T) {
	b := file(`{"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[8,12]},"__metadata__":{"format":"pt"},"a.0":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 12)
	f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m")
	if err != nil {
		t.Fatal(err)
	}
	start := int64(len(b)) - 12
	want := []tensor.Info{
		{Path: "a.0", DType: tensor.F64, Shape: tensor.Shape{}, File: "m", Offset: start, Bytes: 8, Format: "safetensors"},
		{Path: "b", DType: tensor.BF16, Shape: tensor.Shape{2, 1}, File: "m", Offset: start + 8, Bytes: 4, Format: "safetensors"},
	}
	if d := cmp.Diff(want, f.Tensors()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"format": "pt"}, f.Metadata()); d != "" {
		t.Error(d)
	}
}

// TestAllFaults: a header with several faults of one kind has them all reported,
// up to a limit.
func TestAllFaults(t *testing.T) {
	var entries []string
	for i := range 30 {
		entries = append(entries, fmt.Sprintf(`"w%d":{"dtype":"F31","shape":[],"data_offsets":[0,0]}`, i))
	}
	b := file("{"+strings.Join(entries, ",")+"}", 0)
	_, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m")
	if err == nil || !strings.Contains(err.Error(), `"w0"`) || !strings.Contains(err.Error(), `"w19"`) || !strings.Contains(err.Error(), "10 more") {
		t.Errorf("error %v", err)
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct{ header, rule string }{
		{`{}`, "no-tensors"},
		{`{"w":{"x":1,` + w16 + `}}`, "unknown-field"},
		{`{"":{` + w16 + `}}`, "odd-name"},
		{`{"a\u001b[2J":{` + w16 + `}}`, "odd-name"},
		{`{"a` + "\u202e" + `b":{` + w16 + `}}`, "odd-name"},
	} {
		b := file(c.header, 16*strings.Count(c.header, "F32"))
		f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m")
		if err != nil {
			t.Errorf("%s: %v", c.header, err)
			continue
		}
		if got := f.Findings(); len(got) != 1 || got[0].Rule != c.rule || got[0].File != "m" {
			t.Errorf("%s: findings %v, want one %s", c.header, got, c.rule)
		}
	}
	b := file(`{"größe.weight":{`+w16+`}}`, 16)
	if f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m"); err != nil || len(f.Findings()) > 0 {
		t.Errorf("a name in another script: %v, %v", f.Findings(), err)
	}
}

func TestAppendHeader(t *testing.T) {
	infos := []tensor.Info{
		{Path: "b\"\x01é", DType: tensor.BF16, Shape: tensor.Shape{2, 3}},
		{Path: "A", DType: tensor.F4, Shape: tensor.Shape{4}},
		{Path: "a", DType: tensor.F8E4M3, Shape: tensor.Shape{}},
	}
	got, offsets, err := AppendHeader([]byte("before"), infos, map[string]string{"format": "mlx", "a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	text := `{"A":{"data_offsets":[12,14],"dtype":"F4","shape":[4]},` +
		`"__metadata__":{"a":"b","format":"mlx"},` +
		`"a":{"data_offsets":[14,15],"dtype":"F8_E4M3","shape":[]},` +
		`"b\"\u0001é":{"data_offsets":[0,12],"dtype":"BF16","shape":[2,3]}}`
	want := append([]byte("before"), file(text, 0)...)
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
	n := int64(len(text) + 8)
	if d := cmp.Diff([]int64{n, n + 12, n + 14, n + 15}, offsets); d != "" {
		t.Error(d)
	}
	whole := append(got[6:], make([]byte, 15)...)
	f, err := Read(t.Context(), bytes.NewReader(whole), int64(len(whole)), "m")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Tensors() {
		for i, w := range infos {
			if w.Path == g.Path && (w.DType != g.DType || !w.Shape.Equal(g.Shape) || offsets[i] != g.Offset) {
				t.Errorf("wrote %v at %d, read %v", w, offsets[i], g)
			}
		}
	}
}

func TestAppendHeaderRefuses(t *testing.T) {
	u8 := func(path string, shape ...int64) tensor.Info {
		return tensor.Info{Path: path, DType: tensor.U8, Shape: shape}
	}
	for name, infos := range map[string][]tensor.Info{
		"name twice":      {u8("a"), u8("a")},
		"reserved name":   {u8("__metadata__")},
		"not UTF-8":       {u8("\xff")},
		"name too long":   {u8(strings.Repeat("a", MaxName+1))},
		"foreign dtype":   {{Path: "a", DType: tensor.C128}},
		"file overflows":  {u8("a", 1<<62), u8("b", 1<<62)},
		"shape overflows": {u8("a", 1<<62, 4)},
		"partial block":   {{Path: "a", DType: tensor.F4, Shape: tensor.Shape{3}}},
	} {
		if h, _, err := AppendHeader(nil, infos, nil); err == nil {
			t.Errorf("%s: wrote %q", name, h)
		}
	}
}

// TestEveryDType: what the format can name, wreg reads and writes.
func TestEveryDType(t *testing.T) {
	for name, d := range dtypes {
		elems, size := d.Block()
		b := file(fmt.Sprintf(`{"w":{"dtype":"%s","shape":[%d],"data_offsets":[0,%d]}}`, name, elems, size), int(size))
		f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m")
		if err != nil || f.Tensors()[0].DType != d {
			t.Errorf("%s: %v", name, err)
			continue
		}
		h, _, err := AppendHeader(nil, f.Tensors(), nil)
		if err != nil || !bytes.Contains(h, []byte(`"`+name+`"`)) {
			t.Errorf("%s: wrote %s, %v", name, h, err)
		}
	}
}

// TestMemory: a header of nearly the largest size with as many tensors as may be
// is read in less than 512 MiB.
func TestMemory(t *testing.T) {
	const size = 90_000_000
	b := make([]byte, 8, size+200)
	b = append(b, '{')
	n := 0
	for n < MaxTensors {
		if n > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"%0120x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, n)
		n++
	}
	b = append(b, '}')
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	size64 := int64(len(b))
	b = nil
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f, err := Read(t.Context(), r, size64, "m")
	runtime.ReadMemStats(&after)
	if err != nil || len(f.Tensors()) != n {
		t.Fatalf("%v; want %d tensors", err, n)
	}
	// What was allocated in all bounds what was held at once, garbage included.
	if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
		t.Errorf("%d MiB allocated for a header of %d bytes with %d tensors", used>>20, size64, n)
	}
}

// TestTooMany: one tensor more than may be is refused, before the rest is read.
func TestTooMany(t *testing.T) {
	b := []byte("\x00\x00\x00\x00\x00\x00\x00\x00{")
	for n := range MaxTensors + 1 {
		b = fmt.Appendf(b, `"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, n)
	}
	b = append(b, "not JSON"...)
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	if _, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m"); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range cases {
		if len(c.file) < 4096 {
			f.Add(c.file)
		}
	}
	fixtures, err := filepath.Glob("../testdata/fixtures/*/safetensors/*.safetensors")
	if err != nil || len(fixtures) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range fixtures {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got *File
		var err error
		ingesttest.Bounded(t, len(b), func() { got, err = Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m") })
		if err != nil {
			return
		}
		// Whatever is read can be written, and reads the same again.
		infos := got.Tensors()
		h, _, err := AppendHeader(nil, infos, got.Metadata())
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		var n int64
		for _, i := range infos {
			n += i.Bytes
		}
		h = append(h, make([]byte, n)...)
		again, err := Read(t.Context(), bytes.NewReader(h), int64(len(h)), "m")
		if err != nil {
			t.Fatalf("written but not read: %v\n%s", err, h)
		}
		for i, a := range again.Tensors() {
			if a.Path != infos[i].Path || a.DType != infos[i].DType || !a.Shape.Equal(infos[i].Shape) {
				t.Fatalf("read %v, then %v", infos[i], a)
			}
		}
	})
}
