package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// npy is an array file of version 1.
func npy(header string, data ...byte) []byte {
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	return append(append(b, header...), data...)
}

func dict(descr, fortran, shape string) string {
	return "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n"
}

// cases are headers before four bytes of data, and a part of the error that
// refuses them; "" when they are read. They seed the fuzzer too.
var cases = []struct{ header, fails string }{
	{dict("'<f4'", "False", "(1,)"), ""},
	{dict("'<f4'", "False", "()"), ""},
	{dict("'<i2'", "True", "(2, 1)"), ""},
	{dict("'|u1'", "False", "(2, 2)"), ""},
	{dict("'<V2'", "False", "(2,)"), ""},
	{dict("'|V2'", "False", "(2,)"), ""},
	{dict("'>f2'", "False", "(2,)"), ""},
	{dict("'>i1'", "False", "(4,)"), ""},
	{dict("'<f4'", "False", "(1L,)"), ""},
	{`{"shape":(1,),"descr":"<f4","fortran_order":False}`, ""},
	{dict("'<f8'", "False", "(0, 3)"), "4 bytes"}, // trailing bytes, a finding

	{dict("'|O'", "False", "(1,)"), "pickle"},
	{dict("'O'", "False", "(1,)"), "pickle"},
	{dict("'<q9'", "False", "(1,)"), "not a tensor's"},
	{dict("'<M8[D]'", "False", "(1,)"), "not a tensor's"},
	{dict("'<U1'", "False", "(1,)"), "not a tensor's"},
	{dict("'|S4'", "False", "(1,)"), "not a tensor's"},
	{dict("'|f4'", "False", "(1,)"), "not a tensor's"},
	{dict("'f4'", "False", "(1,)"), "not a tensor's"},
	{dict("'=f4'", "False", "(1,)"), "not a tensor's"},
	{dict("'>V2'", "False", "(2,)"), "not a tensor's"},
	{dict("'<V4'", "False", "(1,)"), "not a tensor's"},
	{dict("''", "False", "(1,)"), "not a tensor's"},
	{dict("[('a', '<i4')]", "False", "(1,)"), "structured"},
	{dict("'<f4'", "False", "(2,)"), "file is truncated"},
	{dict("'<f4'", "False", "(-1,)"), "from 0 up"},
	{dict("'<f4'", "False", "(1.0,)"), "want ','"},
	{dict("'<f4'", "False", "(1)"), "not a tuple"},
	{dict("'<f4'", "False", "1"), "want '('"},
	{dict("'<f4'", "False", "[1]"), "want '('"},
	{dict("'<f4'", "False", "(9223372036854775808,)"), "overflows"},
	{dict("'<f4'", "False", "(4611686018427387904, 4)"), "overflows"},
	{dict("'<f4'", "False", "(4611686018427387904, 0, 4)"), "overflows"},
	{dict("'<f4'", "False", "("+strings.Repeat("1,", 65)+")"), "more than 64"},
	{dict("'<f4'", "False", strings.Repeat("(", 30_000)), "from 0 up"},
	{dict("'<f4'", "0", "(1,)"), "True or False"},
	{dict("__import__('os')", "False", "(1,)"), "want a string"},
	{dict(`'<f\x34'`, "False", "(1,)"), "escape"},
	{"{'descr': '<f4', 'shape': (1,), }", `no "fortran_order"`},
	{"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "given twice"},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "unknown key"},
	{dict("'<f4'", "False", "(1,)") + "x", "goes on"},
	{dict("'<f4'", "False", "(1,)") + "\x00", "goes on"},
	{"['descr']", "want '{'"},
	{"{'descr", "string without end"},
	{"{", "want a string"},
	{"", "want '{'"},
}

func TestHeader(t *testing.T) {
	for _, c := range cases {
		b := npy(c.header, 0, 0, 0, 0)
		f, err := ReadNPY(t.Context(), bytes.NewReader(b), int64(len(b)), "w.npy")
		text := fmt.Sprint(err)
		if err == nil {
			text = ""
			for _, n := range f.Findings() {
				text += n.Message
			}
			if f.Tensors()[0].Path != "w" {
				t.Errorf("%q: called %q", c.header, f.Tensors()[0].Path)
			}
		}
		if (text == "") != (c.fails == "") || !strings.Contains(text, c.fails) {
			t.Errorf("%.80q: %v, want %q", c.header, text, c.fails)
		}
		if err != nil && !strings.HasPrefix(text, "w.npy: ") {
			t.Errorf("error %q does not name the file", text)
		}
	}
	for _, c := range []struct {
		file  string
		fails string
	}{
		{"", "not an array"}, {magic, "not an array"}, {magic + "\x09\x00", "version 9"}, {magic + "\x01\x00\x10", "header length"},
		{magic + "\x02\x00\xff\xff\xff\xff{}", "header of 4294967295"}, {magic + "\x01\x00\x10\x00{}", "header of 16"},
	} {
		if _, err := ReadNPY(t.Context(), strings.NewReader(c.file), int64(len(c.file)), "w"); err == nil || !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%q: error %v, want %q", c.file, err, c.fails)
		}
	}
}

// value is the bytes of the row-major element i of the arrays below.
func value(i, size int64) []byte {
	b := make([]byte, 8)
	binary.LittleEndian.PutUint64(b, uint64(i)*0x9e3779b97f4a7c15)
	return b[:size]
}

// TestOrder: whatever the order of the file, the bytes come out row-major and
// little-endian, read whole or in pieces from anywhere.
func TestOrder(t *testing.T) {
	for _, shape := range [][]int64{{7}, {5, 6}, {1, 9}, {9, 1}, {3, 4, 5}, {2, 1, 3, 4}, {600, 3}, {3, 600}} {
		for _, descr := range []string{"<f4", ">f4", "<i2", ">f8", "|u1", ">c8"} {
			for _, fortran := range []bool{false, true} {
				for _, deflate := range []bool{false, true} {
					checkOrder(t, shape, descr, fortran, deflate)
				}
			}
		}
	}
}

func checkOrder(t *testing.T, shape []int64, descr string, fortran, deflate bool) {
	t.Helper()
	_, size := kinds[descr[1:]].Block()
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	var want []byte
	stored := make([]byte, n*size)
	index := make([]int64, len(shape))
	for i := range n {
		e := value(i, size)
		want = append(want, e...)
		at, stride := i, int64(1)
		if fortran {
			at = 0
			for k := range shape {
				at += index[k] * stride
				stride *= shape[k]
			}
		}
		if descr[0] == '>' {
			word := size
			if descr == ">c8" {
				word = 4
			}
			for w := range slices.Chunk(e, int(word)) {
				slices.Reverse(w)
			}
		}
		copy(stored[at*size:], e)
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	py := map[bool]string{false: "False", true: "True"}[fortran]
	dims := strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", ", ")
	file := npy(dict("'"+descr+"'", py, "("+dims+",)"), stored...)
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	method := zip.Store
	if deflate {
		method = zip.Deflate
	}
	m, err := w.CreateHeader(&zip.FileHeader{Name: "x/w.npy", Method: method})
	if err == nil {
		_, err = m.Write(file)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(t.Context(), bytes.NewReader(z.Bytes()), int64(z.Len()), "m.npz")
	name := fmt.Sprint(shape, descr, " fortran ", fortran, " deflate ", deflate)
	if err != nil || len(f.Findings()) > 0 {
		t.Fatalf("%s: %v %v", name, err, f.Findings())
	}
	info := f.Tensors()[0]
	if info.Path != "x/w" || info.Bytes != n*size {
		t.Errorf("%s: %+v", name, info)
	}
	r, err := f.Bytes(0)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	for _, step := range []int{len(want), 7, 1 + len(want)/3} {
		for off := 0; off < len(want); off += step {
			p := got[off:min(off+step, len(want))]
			if k, err := r.ReadAt(p, int64(off)); k < len(p) || err != nil && err != io.EOF {
				t.Fatalf("%s: %d of %d bytes at %d: %v", name, k, len(p), off, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: in steps of %d: %x, want %x", name, step, got[:min(64, len(got))], want[:min(64, len(want))])
		}
		clear(got)
	}
	if info.Offset >= 0 && !bytes.Equal(z.Bytes()[info.Offset:info.Offset+info.Bytes], want) {
		t.Errorf("%s: offset %d is not where the bytes are", name, info.Offset)
	}
	if plain := !deflate && (descr[0] != '>' || size == 1); plain && !fortran && info.Offset < 0 {
		t.Errorf("%s: plainly stored and yet without offset", name)
	}
}

// TestTurned: an array larger than what is gathered at once comes out the same.
func TestTurned(t *testing.T) {
	for _, shape := range []tensor.Shape{{2, 4<<20 + 5}, {2<<20 + 3, 3}, {5 << 20, 2}} {
		n := shape[0] * shape[1]
		stored := make([]byte, n)
		for i := range n {
			stored[i%shape[1]*shape[0]+i/shape[1]] = byte(i * 31 >> 3)
		}
		h := header{dtype: tensor.U8, shape: shape, fortran: true}
		r := strided.Gather(h.view("w"), bytes.NewReader(stored), 0, nil)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, n))
		if err != nil || int64(len(got)) != n {
			t.Fatal(len(got), err)
		}
		for i := range n {
			if got[i] != byte(i*31>>3) {
				t.Fatalf("%v: element %d is %d, want %d", shape, i, got[i], byte(i*31>>3))
			}
		}
	}
}

// TestOtherTypes: a member that is no tensor keeps nobody from reading the others, and
// is said once for each type.
func TestOtherTypes(t *testing.T) {
	for _, c := range []struct{ descr, rule, says string }{
		{"'<U1'", "not-numbers", `"<U1" is not a tensor's: text`},
		{"'|S3'", "not-numbers", `"|S3" is not a tensor's: bytes of text`},
		{"'<M8[D]'", "not-numbers", "dates"},
		{"'<m8[ns]'", "not-numbers", "durations"},
		{"'|O'", "unread-array", "pickle"},
		{"'O'", "unread-array", "pickle"},
		{"[('a', '<i4')]", "unread-array", "[('a', '<i4')]"},
		{"'<f16'", "unread-array", "numbers of a size"},
		{"'|V1'", "unread-array", "opaque"},
		{"'<q9'", "unread-array", "not a tensor's"},
	} {
		other := npy(dict(c.descr, "False", "(1,)"), 0, 0, 0, 0)
		b := ingesttest.Zip(
			ingesttest.Record{Name: "classes.npy", Data: other},
			ingesttest.Record{Name: "w.npy", Data: npy(dict("'<f4'", "False", "(1,)"), 1, 2, 3, 4)},
			ingesttest.Record{Name: "x.npy", Data: other})
		f, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m.npz")
		if err != nil {
			t.Errorf("%s: %v", c.descr, err)
			continue
		}
		found := f.Findings()
		if len(f.Tensors()) != 1 || f.Tensors()[0].Path != "w" || len(found) != 1 || found[0].Rule != c.rule ||
			!strings.Contains(found[0].Message, c.says) || !strings.Contains(found[0].Message, `2 members ("classes.npy", …)`) {
			t.Errorf("%s: %v, %v", c.descr, f.Tensors(), found)
		}
	}
	for _, torn := range []string{"{'descr': '<U1', ", "{'descr': [('a', ", "{'descr': [('a]"} {
		b := ingesttest.Zip(ingesttest.Record{Name: "w.npy", Data: npy(torn, 0)})
		if _, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m.npz"); err == nil {
			t.Errorf("%s: a torn header was passed over", torn)
		}
	}
}

// TestJoined: two arrays that cat joined are called that.
func TestJoined(t *testing.T) {
	one := npy(dict("'<f4'", "False", "(1,)"), 1, 2, 3, 4)
	for _, rest := range [][]byte{one, {1}} {
		b := append(bytes.Clone(one), rest...)
		f, err := ReadNPY(t.Context(), bytes.NewReader(b), int64(len(b)), "w.npy")
		if err != nil || len(f.Findings()) != 1 || strings.Contains(f.Findings()[0].Message, "another array begins there") != (len(rest) > 1) {
			t.Errorf("%v: %v", f.Findings(), err)
		}
	}
}

func TestZip(t *testing.T) {
	build := func(members ...string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, name := range members {
			m, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			if err == nil {
				_, err = m.Write(npy(dict("'<f4'", "False", "(1,)"), 1, 2, 3, 4))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := build("b.npy", "a.npy")
	if !Sniff(good) || SniffNPY(good) || Sniff(build("archive/data.pkl")) {
		t.Error("sniffed wrong")
	}
	f, err := Read(t.Context(), bytes.NewReader(good), int64(len(good)), "m")
	if err != nil || f.Tensors()[0].Path != "a" || f.Tensors()[1].Path != "b" {
		t.Errorf("%v, %v", f, err)
	}
	data := int(f.Tensors()[0].Offset)
	broken := bytes.Clone(good)
	broken[data] ^= 1
	if f, err = Read(t.Context(), bytes.NewReader(broken), int64(len(broken)), "m"); err != nil {
		t.Fatal(err)
	}
	r, err := f.Bytes(0)
	if err == nil {
		_, err = r.ReadAt(make([]byte, 4), 0)
	}
	if err == nil || !strings.Contains(err.Error(), "CRC") {
		t.Errorf("a flipped bit: error %v", err)
	}
	odd := build("a.npy", "readme.txt")
	if f, err := Read(t.Context(), bytes.NewReader(odd), int64(len(odd)), "m"); err != nil || len(f.Findings()) != 1 || f.Findings()[0].Rule != "not-an-array" {
		t.Errorf("%v, %v", f, err)
	}
	for name, b := range map[string][]byte{
		"member twice": build("a.npy", "a.npy"), "cut": good[:len(good)-30], "not a zip": []byte("PK\x03\x04"),
		"long name": build(strings.Repeat("n", MaxName+1) + ".npy"),
		"encrypted": bytes.ReplaceAll(good, []byte("PK\x01\x02\x14\x00\x14\x00\x08"), []byte("PK\x01\x02\x14\x00\x14\x00\x09")),
	} {
		if _, err := Read(t.Context(), bytes.NewReader(b), int64(len(b)), "m"); err == nil || !strings.HasPrefix(err.Error(), "m: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range cases {
		if len(c.header) < 4096 {
			f.Add(npy(c.header, 0, 0, 0, 0))
		}
	}
	for _, pattern := range []string{"numpy/*.np[yz]", "hostile/numpy/*.np[yz]", "mlx/*.np[yz]"} {
		names, err := filepath.Glob("../testdata/fixtures/" + pattern)
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
		read := ReadNPY
		if !SniffNPY(b) {
			read = Read
		}
		var got *File
		var err error
		ingesttest.Bounded(t, len(b), func() { got, err = read(t.Context(), bytes.NewReader(b), int64(len(b)), "m") })
		if err != nil {
			return
		}
		for i, info := range got.Tensors() {
			r, err := got.Bytes(i)
			if err != nil {
				t.Fatal(err)
			}
			if info.Bytes > 1<<20 {
				continue // deflated zeros, most likely: reading them is slow, not wrong
			}
			p := make([]byte, info.Bytes)
			n, err := r.ReadAt(p, 0)
			if err == nil && n < len(p) {
				t.Fatalf("%v: %d bytes and no error", info, n)
			}
			if info.Offset >= 0 && !bytes.Equal(p[:n], b[info.Offset:info.Offset+int64(n)]) {
				t.Fatalf("%v: not the bytes at its offset", info)
			}
		}
	})
}
