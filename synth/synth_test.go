package synth

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"wreg/registry/tensor"
)

const goldens = "../registry/arch/testdata/goldens"

// Output tensors of a run without flags that have the name, dtype and shape of a
// source tensor are plain copies in these families, so their hashes are those of
// the source bytes.
func TestFillGivesGoldenBytes(t *testing.T) {
	for _, name := range []string{"llama", "qwen2", "hunyuan", "mixtral", "deepseek_v3-fp8"} {
		c, err := Golden(filepath.Join(goldens, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		source := map[string]tensor.Info{}
		for _, s := range c.Source {
			source[s.Path] = s
		}
		checked := 0
		for _, out := range c.Variants[0].Tensors {
			s, ok := source[out.Path]
			if !ok || s.DType != out.DType || !s.Shape.Equal(out.Shape) {
				continue
			}
			b := make([]byte, s.Bytes)
			if err := Fill(b, s.Path, c.Seed, s.DType, 0); err != nil {
				t.Fatal(err)
			}
			if tensor.Hash(sha256.Sum256(b)) != out.Hash {
				t.Errorf("%s: %s: bytes differ from the golden's", name, s.Path)
			}
			checked++
		}
		if checked == 0 {
			t.Errorf("%s: no tensor is copied plainly", name)
		}
	}
}

// A tensor made in pieces is the tensor made at once, for every dtype.
func TestFillInPieces(t *testing.T) {
	for _, dt := range []tensor.DType{tensor.Bool, tensor.U8, tensor.I64, tensor.F16, tensor.BF16, tensor.F32,
		tensor.F64, tensor.F8E4M3, tensor.F4, tensor.F6E2M3, tensor.C128} {
		elems, size := dt.Block()
		whole := make([]byte, 60*size)
		if err := Fill(whole, "x", 7, dt, 0); err != nil {
			t.Fatal(err)
		}
		pieces := make([]byte, 60*size)
		for at := int64(0); at < 60; at += 7 {
			end := min(at+7, 60)
			if err := Fill(pieces[at*size:end*size], "x", 7, dt, at*elems); err != nil {
				t.Fatal(err)
			}
		}
		if string(whole) != string(pieces) {
			t.Errorf("%v: pieces differ from the whole", dt)
		}
	}
}

func TestWrite(t *testing.T) {
	c, err := Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Write(dir, Options{ShardBytes: 200_000, Tokenizer: 128}); err != nil {
		t.Fatal(err)
	}
	var index struct {
		Metadata struct {
			Total int64 `json:"total_size"`
		}
		WeightMap map[string]string `json:"weight_map"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.WeightMap) != len(c.Source) {
		t.Fatalf("index has %d tensors, want %d", len(index.WeightMap), len(c.Source))
	}
	shards := map[string]bool{}
	var total int64
	for _, s := range c.Source {
		file := index.WeightMap[s.Path]
		shards[file] = true
		total += s.Bytes
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		n := binary.LittleEndian.Uint64(data)
		var header map[string]struct {
			DType   string
			Shape   tensor.Shape
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(data[8:8+n], &header); err != nil {
			t.Fatal(err)
		}
		h := header[s.Path]
		want := make([]byte, s.Bytes)
		if err := Fill(want, s.Path, c.Seed, s.DType, 0); err != nil {
			t.Fatal(err)
		}
		if got := data[8+n:][h.Offsets[0]:h.Offsets[1]]; string(got) != string(want) {
			t.Errorf("%s: %s: wrong bytes", file, s.Path)
		}
	}
	if len(shards) < 3 || total != index.Metadata.Total {
		t.Errorf("%d shards, total_size %d, want more than 2 and %d", len(shards), index.Metadata.Total, total)
	}
	for _, f := range []string{"config.json", "tokenizer.json", "tokenizer_config.json"} {
		if data, err := os.ReadFile(filepath.Join(dir, f)); err != nil || !json.Valid(data) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	x := tensor.Info{Path: "x", DType: tensor.F32, Shape: tensor.Shape{2}}
	for name, ts := range map[string][]tensor.Info{
		"twice":    {x, x},
		"no dtype": {{Path: "x"}},
		"overflow": {{Path: "x", DType: tensor.F32, Shape: tensor.Shape{1 << 40, 1 << 40}}},
	} {
		if err := Write(t.TempDir(), ts, Options{}); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}
