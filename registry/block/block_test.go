package block

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

func TestIntsRoundTrip(t *testing.T) {
	for _, values := range [][]int64{
		{0}, {-1}, {7, 7, 7}, {math.MinInt64, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {0, math.MaxInt64},
		{1 << 40, 2 << 40, 3 << 40}, {-1, 4096, 8192}, {0, 1<<56 - 1}, {0, 1 << 56}, {0, 1<<57 - 1}, {math.MinInt64, 0},
		{int64(math.Float64bits(1.5)), int64(math.Float64bits(-0.25)), int64(math.Float64bits(math.NaN()))},
	} {
		checkInts(t, values)
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64(), 1, 200).Draw(t, "values")
		shift := rapid.IntRange(0, 63).Draw(t, "shift")
		for i := range values {
			values[i] = values[i] >> shift << (shift / 2)
		}
		checkInts(t, values)
	})
}

// Every width comes back, at every bit that a row can begin at.
func TestIntsEveryWidth(t *testing.T) {
	for width := range 65 {
		top := ^uint64(0) >> (64 - width) // of 0 bits, 0
		for _, base := range []int64{0, 3, math.MinInt64} {
			if base >= 0 && top > math.MaxInt64-uint64(base) {
				continue
			}
			var values []int64
			for i := range 20 {
				values = append(values, int64(uint64(base)+top>>(i%3)*uint64(i%2|i/16)&top))
			}
			checkInts(t, append(values, base, int64(uint64(base)+top)))
		}
	}
}

func checkInts(t interface{ Errorf(string, ...any) }, values []int64) {
	c := packInts(slices.Clone(values))
	if got := c.AppendTo(nil); !slices.Equal(got, values) {
		t.Errorf("%v packed gives %v", values, got)
	}
	d := codec.NewReader(c.appendHead(nil))
	var head col
	head.decode(d, 0)
	back := head.ints(len(values))
	back.data = c.data
	if got := back.AppendTo(nil); !slices.Equal(got, values) || d.Err != "" || d.Left() != 0 {
		t.Errorf("%v read back gives %v, %q", values, got, d.Err)
	}
	if len(c.data) != packedLen(c.n, c.width) {
		t.Errorf("%v: %d bytes, want %d", values, len(c.data), packedLen(c.n, c.width))
	}
}

func TestIntsSum(t *testing.T) {
	for _, c := range []struct {
		values []int64
		sum    int64
		ok     bool
	}{
		{[]int64{5, 5, 5}, 15, true}, {[]int64{-5, -5}, -10, true}, {[]int64{1, 2, 3}, 6, true}, {[]int64{-1, 1, 0}, 0, true},
		{[]int64{math.MaxInt64, math.MaxInt64}, 0, false}, {[]int64{math.MaxInt64, 1}, 0, false}, {[]int64{math.MinInt64, -1}, 0, false},
		{[]int64{math.MaxInt64, -1}, math.MaxInt64 - 1, true}, {[]int64{0, 0}, 0, true},
	} {
		if got, ok := packInts(c.values).Sum(); ok != c.ok || got != c.sum && ok {
			t.Errorf("sum of %v is %d, %v", c.values, got, ok)
		}
	}
}

// entries makes the tensors of one template.
func drawEntries(t *rapid.T, template string) []entry {
	k := len(tensor.Placeholders(template))
	var entries []entry
	add := func(index []int64) {
		entries = append(entries, entry{slices.Clone(index), drawInfo(t, tensor.JoinPath(template, index))})
	}
	switch {
	case k == 0:
		add(nil)
	case rapid.Bool().Draw(t, "full"):
		n, start := rapid.IntRange(1, 4).Draw(t, "n"), rapid.Int64Range(0, 20).Draw(t, "start")
		index := make([]int64, k)
		var fill func(at int)
		fill = func(at int) {
			if at == k {
				add(index)
				return
			}
			for i := range n {
				index[at] = start + int64(i)
				fill(at + 1)
			}
		}
		fill(0)
	default:
		seen := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "rows") {
			index := rapid.SliceOfN(rapid.Int64Range(0, rapid.SampledFrom([]int64{3, 1000, 999999999999999999}).Draw(t, "top")), k, k).Draw(t, "index")
			if p := tensor.JoinPath(template, index); !seen[p] {
				seen[p] = true
				add(index)
			}
		}
	}
	return entries
}

func drawInfo(t *rapid.T, path string) *tensor.Info {
	i := &tensor.Info{
		Path:   path,
		DType:  rapid.SampledFrom([]tensor.DType{tensor.BF16, tensor.F32, tensor.F4, tensor.C128}).Draw(t, "dtype"),
		Shape:  rapid.SliceOfN(rapid.Int64Range(0, 300), 0, 4).Draw(t, "shape"),
		File:   rapid.SampledFrom([]string{"", "a.safetensors", "dir/b.bin"}).Draw(t, "file"),
		Offset: rapid.Int64Range(-1, math.MaxInt64).Draw(t, "offset"),
		Bytes:  rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes"),
		Format: rapid.SampledFrom([]string{"safetensors", "torch", ""}).Draw(t, "format"),
	}
	fill := func(b []byte) { copy(b, rapid.SliceOfN(rapid.Byte(), len(b), len(b)).Draw(t, "random")) }
	if rapid.Bool().Draw(t, "hashed") {
		fill(i.Hash[:])
		fill(i.Sum[:])
		i.Slices = make([]tensor.Hash, rapid.IntRange(0, 3).Draw(t, "slices"))
		for k := range i.Slices {
			fill(i.Slices[k][:])
		}
	}
	if rapid.Bool().Draw(t, "stats") {
		f := rapid.Float64()
		i.Stats = &tensor.Stats{Min: f.Draw(t, "min"), Max: f.Draw(t, "max"), AbsMax: f.Draw(t, "absmax"), NaNs: rapid.Int64Min(0).Draw(t, "nans"), Infs: 3, Zeros: rapid.Int64Range(0, 9).Draw(t, "zeros")}
	}
	return i
}

var templates = []string{"", "a.weight", "model.layers.{layer}.w", "model.layers.{layer}.mlp.experts.{expert}.w", "a.{n}.b.{n}.{n}"}

// What encodeBlock writes, Decode reads: every field of every row, whatever
// the order the tensors came in.
func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t, rapid.SampledFrom(templates).Draw(t, "template"))
		want := map[string]tensor.Info{}
		names := []string{"", "a.safetensors", "dir/b.bin"}
		codes := map[string]int{"": 0, "a.safetensors": 1, "dir/b.bin": 2}
		for _, e := range entries {
			want[e.info.Path] = *e.info
		}
		key, _ := KeyOf(entries[0].info.Path)
		shuffled := rapid.Permutation(entries).Draw(t, "order")
		sortEntries(shuffled)
		raw, err := encodeBlock(key, shuffled, codes)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Decode(key, raw, names, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Verify(); err != nil {
			t.Fatal(err)
		}
		if b.Len() != len(want) {
			t.Fatalf("%d rows, want %d", b.Len(), len(want))
		}
		for i := range b.Len() {
			got := b.Info(i)
			if d := cmp.Diff(want[got.Path], got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); d != "" {
				t.Errorf("row %d (-want +got)\n%s", i, d)
			}
			_, index := KeyOf(got.Path)
			if row, ok := b.Row(index); !ok || row != i {
				t.Errorf("Row(%v) = %d, %v, want %d", index, row, ok, i)
			}
			for k, n := range index {
				column, ok := b.Index(k)
				if !ok || column[i] != n {
					t.Errorf("Index(%d)[%d] = %v, want %d", k, i, column, n)
				}
			}
		}
	})
}

// sampleBlock is a block with every kind of column in it.
func sampleBlock(t testing.TB) (string, []byte) {
	var entries []entry
	for l := range int64(3) {
		for e := range int64(3) {
			if l == 1 && e == 1 {
				continue
			}
			i := &tensor.Info{
				Path: tensor.JoinPath(templates[3], []int64{l, e}), DType: tensor.DType(1 + l), Shape: tensor.Shape{l, 2, 2}, File: []string{"a", "b"}[e%2],
				Offset: 1000 * e, Bytes: l * 4, Format: []string{"safetensors", "torch"}[l%2], Hash: tensor.Hash{byte(l), byte(e), 1}, Sum: tensor.Sum{byte(e)},
				Slices: make([]tensor.Hash, l), Stats: &tensor.Stats{Min: float64(l), Zeros: e},
			}
			if e == 2 {
				i.Stats = nil
			}
			entries = append(entries, entry{[]int64{l, e}, i})
		}
	}
	key, _ := KeyOf(entries[0].info.Path)
	raw, err := encodeBlock(key, entries, map[string]int{"a": 0, "b": 1})
	if err != nil {
		t.Fatal(err)
	}
	return key, raw
}

// Every flipped bit and every missing byte of a block is found.
func TestBlockDamage(t *testing.T) {
	key, raw := sampleBlock(t)
	if b, err := Decode(key, raw, []string{"a", "b"}, nil); err != nil || b.Verify() != nil {
		t.Fatalf("the sample: %v", err)
	}
	for bit := range 8 * len(raw) {
		flipped := slices.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		b, err := Decode(key, flipped, []string{"a", "b"}, nil)
		if err == nil {
			for i := range b.Len() {
				b.Info(i)
			}
			err = b.Err()
		}
		if err == nil {
			t.Errorf("byte %d: flipped bit %d is not found", bit/8, bit%8)
		}
	}
	for n := range raw {
		if _, err := Decode(key, raw[:n], []string{"a", "b"}, nil); err == nil {
			t.Errorf("cut to %d bytes: not found", n)
		}
	}
	if _, err := Decode(key, append(slices.Clone(raw), 0), []string{"a", "b"}, nil); err == nil {
		t.Error("a byte too many is not found")
	}
	if _, err := Decode("t"+strings.Replace(key[1:], "mlp", "mlq", 1), raw, []string{"a", "b"}, nil); err == nil {
		t.Error("a block under another template is not found")
	}
}

// FuzzBlock decodes forged blocks, whose checksums are not looked at.
func FuzzBlock(f *testing.F) {
	key, raw := sampleBlock(f)
	f.Add(key, raw)
	for _, template := range templates {
		entries := []entry{{make([]int64, len(tensor.Placeholders(template))), &tensor.Info{DType: tensor.F32, Shape: tensor.Shape{2}}}}
		raw, err := encodeBlock("t"+template, entries, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("t"+template, raw)
		f.Add("l"+template, raw)
	}
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		b := &Block{files: []string{"a", "b"}, trusted: true}
		if err := b.decode(key, raw); err != nil {
			return
		}
		if b.Len() > 1<<12 {
			return // a grid of ranges takes a few bytes whatever it holds
		}
		for i := range b.Len() {
			b.Info(i)
			b.Row(b.index(i))
		}
		for k := range 4 {
			b.Index(k)
		}
		b.Bytes().Sum()
		_ = b.Verify()
	})
}
