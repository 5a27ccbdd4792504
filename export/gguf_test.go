package export_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/ingest"
	"wreg/registry/tensor"
)

// ggufTensor is a tensor of a GGUF file: its shape is row-major, its type ggml's
// number.
type ggufTensor struct {
	name  string
	shape []int
	kind  uint32
	data  []byte
}

const (
	kindF32  = 0
	kindQ4_0 = 2
	kindQ8_0 = 8
	kindQ4_K = 12
)

// writeGGUF writes a folder with config.json and a GGUF file, version 3.
func writeGGUF(t *testing.T, config string, tensors []ggufTensor) string {
	t.Helper()
	le := binary.LittleEndian
	text := func(b []byte, s string) []byte { return append(le.AppendUint64(b, uint64(len(s))), s...) }
	b := le.AppendUint64(le.AppendUint64(le.AppendUint32([]byte("GGUF"), 3), uint64(len(tensors))), 0)
	var data []byte
	for _, x := range tensors {
		b = le.AppendUint32(text(b, x.name), uint32(len(x.shape)))
		for i := range x.shape {
			b = le.AppendUint64(b, uint64(x.shape[len(x.shape)-1-i]))
		}
		b = le.AppendUint64(le.AppendUint32(b, x.kind), uint64(len(data)))
		data = append(data, x.data...)
		data = append(data, make([]byte, (32-len(data)%32)%32)...)
	}
	b = append(b, make([]byte, (32-len(b)%32)%32)...)
	dir := filepath.Join(t.TempDir(), "m")
	must(t, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "m.gguf"), append(b, data...), 0o644))
	if config != "" {
		must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644))
	}
	return dir
}

const ggufConfig = `{"model_type": %q, "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 2,
	"num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 8, "tie_word_embeddings": true}`

// tinyGGUF is a llama of one layer whose matrices are blocks of kind: scale k/64
// for the k-th block, codes that count up.
func tinyGGUF(kind uint32) []ggufTensor {
	matrix := func(name string, rows, cols int) ggufTensor {
		var b []byte
		for k := range rows * cols / 32 {
			half := uint16(0)
			if k > 0 { // k/64 as f16: normal numbers
				bits := math.Float32bits(float32(k) / 64)
				half = uint16(bits>>23-112)<<10 | uint16(bits>>13)&1023
			}
			b = binary.LittleEndian.AppendUint16(b, half|uint16(k%2)<<15)
			for i := range map[uint32]int{kindQ8_0: 32, kindQ4_0: 16}[kind] {
				b = append(b, byte(i*37+k*11))
			}
		}
		return ggufTensor{name + ".weight", []int{rows, cols}, kind, b}
	}
	norm := func(name string) ggufTensor {
		var b []byte
		for i := range 32 {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)+0.5))
		}
		return ggufTensor{name + ".weight", []int{32}, kindF32, b}
	}
	return []ggufTensor{
		matrix("token_embd", 8, 32), norm("output_norm"), norm("blk.0.attn_norm"), norm("blk.0.ffn_norm"),
		matrix("blk.0.attn_q", 32, 32), matrix("blk.0.attn_k", 16, 32), matrix("blk.0.attn_v", 16, 32), matrix("blk.0.attn_output", 32, 32),
		matrix("blk.0.ffn_gate", 64, 32), matrix("blk.0.ffn_down", 32, 64), matrix("blk.0.ffn_up", 64, 32), norm("rope_freqs"),
	}
}

// element is row, col of a matrix of tinyGGUF as ggml defines its blocks.
func element(x ggufTensor, row, col int) float32 {
	k := (row*x.shape[1] + col) / 32
	scale, i := float32(k)/64, col%32
	if k%2 == 1 {
		scale = -scale
	}
	if x.kind == kindQ8_0 {
		return scale * float32(int8(i*37+k*11))
	}
	b := byte(i%16*37 + k*11)
	return scale * float32(int(b>>(i/16*4)&15)-8)
}

// A GGUF beside the config.json of its model is exported under mlx's names, q and k
// back in their order of rows, q8_0 and q4_0 as the floats they stand for.
func TestGGUF(t *testing.T) {
	names := map[string]string{
		"model.embed_tokens": "token_embd", "model.layers.0.self_attn.q_proj": "blk.0.attn_q", "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
		"model.layers.0.self_attn.v_proj": "blk.0.attn_v", "model.layers.0.self_attn.o_proj": "blk.0.attn_output", "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
		"model.layers.0.mlp.down_proj": "blk.0.ffn_down", "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
	}
	for _, model := range []string{"llama", "qwen2"} {
		for _, kind := range []uint32{kindQ8_0, kindQ4_0} {
			tensors := tinyGGUF(kind)
			if model == "qwen2" {
				for _, n := range []string{"q", "k", "v"} {
					rows := map[string]int{"q": 32, "k": 16, "v": 16}[n]
					tensors = append(tensors, ggufTensor{"blk.0.attn_" + n + ".bias", []int{rows}, kindF32, make([]byte, 4*rows)})
				}
			}
			out, r := exported(t, writeGGUF(t, fmt.Sprintf(ggufConfig, model), tensors), export.Options{NoSync: true})
			if f := verify(t, out); f != nil {
				t.Error(f)
			}
			if d := r.Sources[len(r.Sources)-2]; d.Path != "rope_freqs.weight" || d.Dropped == "" {
				t.Errorf("%+v", d)
			}
			c, err := ingest.Open(t.Context(), out, ingest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for ours, theirs := range names {
				var x ggufTensor
				for _, g := range tensors {
					if g.name == theirs+".weight" {
						x = g
					}
				}
				src, err := c.Bytes(ours + ".weight")
				if err != nil {
					t.Fatal(err)
				}
				for row := range x.shape[0] {
					from := row
					if model == "llama" && (strings.HasSuffix(theirs, "attn_q") || strings.HasSuffix(theirs, "attn_k")) {
						// Of a head of 16 rows: i and i+8 are a pair, and ggml keeps pairs together.
						head, i := row/16, row%16
						from = head*16 + i%8*2 + i/8
					}
					for col := range x.shape[1] {
						var b [4]byte
						if _, err := src.ReadAt(b[:], int64(4*(row*x.shape[1]+col))); err != nil {
							t.Fatal(err)
						}
						if got, want := binary.LittleEndian.Uint32(b[:]), math.Float32bits(element(x, from, col)); got != want {
							t.Fatalf("%s %s [%d, %d]: %x, want %x", model, ours, row, col, got, want)
						}
					}
				}
			}
			c.Close()
		}
	}
}

// What a GGUF cannot become is refused, with the way out.
func TestGGUFRefused(t *testing.T) {
	config := fmt.Sprintf(ggufConfig, "llama")
	with := func(change func(x *ggufTensor)) []ggufTensor {
		tensors := tinyGGUF(kindQ8_0)
		change(&tensors[4]) // attn_q
		return tensors
	}
	for name, c := range map[string]struct {
		config  string
		tensors []ggufTensor
		o       export.Options
		want    []string
	}{
		"no config": {"", tinyGGUF(kindQ8_0), export.Options{}, []string{"no config.json", "ingest the folder"}},
		"a family whose names are not known": {fmt.Sprintf(ggufConfig, "gemma2"), tinyGGUF(kindQ8_0), export.Options{},
			[]string{`model_type "gemma2"`, "llama, mistral, qwen2, qwen3", "--arch FILE"}},
		"other blocks": {config, with(func(x *ggufTensor) { x.kind, x.shape, x.data = kindQ4_K, []int{4, 256}, make([]byte, 4*144) }), export.Options{},
			[]string{"changed blk.0.attn_q.weight", "q4_k", "q8_0 and q4_0"}},
		"a gap":            {config, tinyGGUF(kindQ8_0)[:10], export.Options{}, []string{"missing", "blk.0.ffn_up.weight"}},
		"a strange tensor": {config, append(tinyGGUF(kindQ8_0), ggufTensor{"blk.0.odd.weight", []int{1}, kindF32, make([]byte, 4)}), export.Options{}, []string{"blk.0.odd.weight", "--allow-unused"}},
		"a scale that is no number": {config, with(func(x *ggufTensor) { x.data[34*5], x.data[34*5+1] = 1, 0x7e }), export.Options{},
			[]string{"blk.0.attn_q.weight", "block 5", "NaN"}},
		"an infinite scale": {config, with(func(x *ggufTensor) { x.data[34*5], x.data[34*5+1] = 0, 0x7c }), export.Options{}, []string{"block 5", "Inf"}},
		"too large for f16": {config, with(func(x *ggufTensor) { x.data[34*5], x.data[34*5+1] = 0xff, 0x7b }), export.Options{DType: tensor.F16}, []string{"block 5", "do not fit the output's dtype"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Out = filepath.Join(t.TempDir(), "out")
			p, err := plan(t, writeGGUF(t, c.config, c.tensors), c.o)
			if err == nil {
				_, err = p.Run(context.Background())
			}
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%v, want … %s …", err, w)
				}
			}
			if left, _ := os.ReadDir(filepath.Dir(c.o.Out)); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}
