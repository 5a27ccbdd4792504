package report

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// unpackedRow is a row as table.js shows it.
type unpackedRow struct {
	path, file, hash  string
	kind              tensorKind
	layer, expert     int64 // -1: none
	absMax            float64
	nans, infs, zeros int64
	stats             bool
}

// unpacked reads what pack wrote, as table.js does.
func unpacked(t testing.TB, text string) []unpackedRow {
	t.Helper()
	head, body, _ := bytes.Cut(inflated(t, text), []byte{'\n'})
	var p packing
	if err := json.Unmarshal(head, &p); err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader(body)
	uvarint := func() int64 {
		x, err := binary.ReadUvarint(in)
		if err != nil {
			t.Fatal(err)
		}
		return int64(x)
	}
	rows := make([]unpackedRow, p.Rows)
	templates := make([][]any, p.Rows)
	for i := range rows {
		templates[i] = p.Templates[uvarint()]
	}
	for i := range rows {
		rows[i].kind = p.Kinds[uvarint()]
	}
	for i := range rows {
		rows[i].file = p.Files[uvarint()]
	}
	last := make([]int64, 64)
	for i := range rows {
		parts := templates[i][:len(templates[i])-2]
		slot := func(k int) int64 { return int64(templates[i][len(parts)+k].(float64)) }
		rows[i].path, rows[i].layer, rows[i].expert = parts[0].(string), -1, -1
		for k, part := range parts[1:] {
			d, err := binary.ReadVarint(in)
			if err != nil {
				t.Fatal(err)
			}
			last[k] += d
			rows[i].path += fmt.Sprint(last[k]) + part.(string)
			if slot(0) == int64(k) {
				rows[i].layer = last[k]
			}
			if slot(1) == int64(k) {
				rows[i].expert = last[k]
			}
		}
	}
	var taken []int
	for i := range rows {
		if n := uvarint(); n > 0 {
			taken = append(taken, i)
			rows[i].stats, rows[i].nans, rows[i].infs, rows[i].zeros = true, n-1, uvarint(), uvarint()
		}
	}
	if len(taken) != p.Stats {
		t.Errorf("%d rows have statistics, the head says %d", len(taken), p.Stats)
	}
	width := 4
	if p.Wide {
		width = 8
	}
	bits := make([]uint64, p.Rows)
	for at := range width {
		for _, i := range taken {
			b, _ := in.ReadByte()
			bits[i] |= uint64(b) << (8 * at)
		}
	}
	for _, i := range taken {
		if rows[i].absMax = math.Float64frombits(bits[i]); !p.Wide {
			rows[i].absMax = float64(math.Float32frombits(uint32(bits[i])))
		}
	}
	for i := range rows {
		h := make([]byte, p.Hash)
		if _, err := in.Read(h); err != nil {
			t.Fatal(err)
		}
		rows[i].hash = hex.EncodeToString(h)
	}
	if in.Len() != 0 {
		t.Errorf("%d bytes are left", in.Len())
	}
	return rows
}

func all(list []tensor.Info) iter.Seq2[tensor.Info, error] {
	return func(yield func(tensor.Info, error) bool) {
		for _, i := range list {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Everything that is packed comes back, in the order that people count in.
func TestPackedComesBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, wide := range []bool{false, true} {
		want := map[string]tensor.Info{}
		var list []tensor.Info
		for i := range 500 {
			path := fmt.Sprintf("model.layers.%d.mlp.experts.%d.up_proj.weight", i%23, i)
			switch i % 7 {
			case 1:
				path = fmt.Sprintf("h.%d.x.%d.%d", i, rnd.Int64N(1<<52), rnd.Int64N(1<<40))
			case 2:
				path = fmt.Sprintf("plain_%d", i)
			}
			x := tensor.Info{Path: path, DType: tensor.BF16, Shape: tensor.Shape{int64(i % 5), 3}, Bytes: int64(i%5) * 6, File: fmt.Sprint("f", i%3)}
			if i%4 > 0 {
				x.Stats = &tensor.Stats{AbsMax: float64(rnd.Float32()), NaNs: int64(i % 2), Infs: rnd.Int64N(1 << 45), Zeros: int64(i)}
				if wide && i%5 == 0 {
					x.Stats.AbsMax = rnd.Float64()
				}
			}
			if i%6 > 0 {
				x.Hash = tensor.Hash{byte(i), 2, 3, 4, 5, byte(i >> 8), 7}
			}
			list, want[path] = append(list, x), x
		}
		text, err := pack(t.Context(), all(list))
		if err != nil {
			t.Fatal(err)
		}
		got := unpacked(t, text)
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		if !slices.IsSortedFunc(got, func(a, b unpackedRow) int { return natural(a.path, b.path) }) {
			t.Error("the rows are not in order")
		}
		for _, r := range got {
			x, ok := want[r.path]
			if !ok {
				t.Fatalf("%s was not packed", r.path)
			}
			st := x.Stats
			if r.stats != (st != nil) || st != nil && (r.absMax != st.AbsMax || r.nans != st.NaNs || r.infs != st.Infs || r.zeros != st.Zeros) {
				t.Errorf("%s: %+v, want %+v", r.path, r, st)
			}
			if r.file != x.File || r.kind.DType != "bf16" || r.kind.Bytes != x.Bytes || !slices.Equal(r.kind.Shape, x.Shape) || r.hash != hex.EncodeToString(x.Hash[:hashBytes]) {
				t.Errorf("%s: %+v, want %+v", r.path, r, x)
			}
			if template, index := tensor.SplitPath(x.Path); strings.HasPrefix(template, "model.layers") && (r.layer != index[0] || r.expert != index[1]) {
				t.Errorf("%s: layer %d, expert %d", r.path, r.layer, r.expert)
			}
		}
	}
}

func TestNaturalOrder(t *testing.T) {
	want := []string{"", "layers", "layers.2.a", "layers.2.b", "layers.10.a", "layers.1a", "layers.a"}
	for i, a := range want {
		for j, b := range want {
			if got := natural(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}

// A model of 58,450 tensors takes less than a megabyte, each hash, value and name
// being its own; the same without values that compress.
func TestSizeOfALargeModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var list []tensor.Info
	for layer := range 61 {
		for expert := range 320 {
			for _, part := range []string{"down", "gate", "up"} {
				x := tensor.Info{Path: fmt.Sprintf("model.layers.%d.mlp.experts.%d.%s_proj.weight", layer, expert, part), DType: tensor.BF16,
					Shape: tensor.Shape{2048, 7168}, Bytes: 2048 * 7168 * 2, File: fmt.Sprintf("model-%05d-of-00163.safetensors", layer*2+expert%2),
					Stats: &tensor.Stats{AbsMax: float64(math.Float32frombits(uint32(0x3e00+rnd.IntN(600)) << 16)), Zeros: rnd.Int64N(9)}}
				for i := range x.Hash {
					x.Hash[i] = byte(rnd.Uint32())
				}
				list = append(list, x)
			}
		}
	}
	text, err := pack(t.Context(), all(list))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 58_450 || len(text) > 800_000 {
		t.Errorf("%d tensors take %d bytes, more than 800,000", len(list), len(text))
	}
	t.Logf("%d tensors: %d bytes", len(list), len(text))
}

// A list is a list for the page's program, never null: a scalar's shape, too.
func TestPackedScalar(t *testing.T) {
	d := gather(t, Options{}, registry.Revision{Model: "m", Root: "/m"}, []tensor.Info{{Path: "s", DType: tensor.F32, Bytes: 4}})
	head, _, _ := bytes.Cut(inflated(t, d.tensors), []byte("\n"))
	if !bytes.Contains(head, []byte(`"shape":[]`)) || bytes.Contains(head, []byte("null")) {
		t.Errorf("%s", head)
	}
}
