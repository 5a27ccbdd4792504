package export_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
)

// There is no byte of an exported folder that can change unseen: in the shard's
// header and data, in config and index, in the tokenizer, in the receipt itself.
func TestVerifyFindsEveryByte(t *testing.T) {
	const places = 16 // in each file, another set for each
	out, r := exported(t, written(t, "llama"), export.Options{NoSync: true})
	must(t, os.RemoveAll(r.Root)) // the bytes here must do
	for name, was := range contents(t, out) {
		file := filepath.Join(out, name)
		at := []int{0, len(was) - 1}
		for i := range places {
			at = append(at, (2*i+1)*len(was)/(2*places))
		}
		if strings.HasSuffix(name, ".safetensors") { // the header is short, so look closer
			header := int(binary.LittleEndian.Uint64([]byte(was))) + 8
			for i := range header / 20 {
				at = append(at, 20*i+i%20)
			}
			at = append(at, header-1)
		}
		for _, i := range at {
			data := []byte(was)
			data[i] ^= 1
			must(t, os.WriteFile(file, data, 0o644))
			v, err := receipt.Verify(context.Background(), out, receipt.Options{})
			if err == nil && len(v.Faults) == 0 {
				t.Errorf("%s: byte %d of %d was changed unseen: %q", name, i, len(was), was[max(0, i-20):min(len(was), i+20)])
			}
		}
		must(t, os.WriteFile(file, []byte(was), 0o644))
	}
	if f := verify(t, out); f != nil {
		t.Error(f)
	}
}

// shard is a safetensors file in memory, to be damaged.
type shard struct {
	header, data []byte
	at           func(path string) (data []byte, rows int) // a tensor's bytes, and its first dimension
}

// damaged changes the one shard of an exported folder.
func damaged(t *testing.T, out string, damage func(s *shard)) {
	t.Helper()
	file := filepath.Join(out, "model.safetensors")
	c, err := ingest.Open(t.Context(), file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	end := int(binary.LittleEndian.Uint64(all)) + 8
	s := &shard{header: bytes.TrimRight(all[8:end], " "), data: all[end:]}
	s.at = func(path string) ([]byte, int) {
		info, ok := c.Lookup(path)
		if !ok {
			t.Fatal(path)
		}
		return all[info.Offset : info.Offset+info.Bytes], int(info.Shape[0])
	}
	damage(s)
	s.header = append(s.header, strings.Repeat(" ", (8-len(s.header)%8)%8)...)
	must(t, os.WriteFile(file, append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(s.header))), s.header...), s.data...), 0o644))
}

// Whatever is done to the tensors of a shard that stays a sound file is found and
// named.
func TestVerifyFindsChangedTensors(t *testing.T) {
	const (
		stack = "model.layers.1.mlp.switch_mlp.up_proj.weight"
		up    = "model.layers.0.mlp.shared_mlp.up_proj.weight"
		gate  = "model.layers.0.mlp.shared_mlp.gate_proj.weight"
		last  = "model.norm.weight"
	)
	src := written(t, "hunyuan")
	replace := func(s *shard, from, to string) {
		if !bytes.Contains(s.header, []byte(from)) {
			t.Fatalf("%s is not in %s", from, s.header)
		}
		s.header = bytes.Replace(s.header, []byte(from), []byte(to), 1)
	}
	for name, c := range map[string]struct {
		damage func(s *shard)
		want   []string
	}{
		"two experts swapped": {func(s *shard) {
			data, n := s.at(stack)
			a, b := data[:len(data)/n], data[len(data)/n:2*len(data)/n]
			keep := bytes.Clone(a)
			copy(a, b)
			copy(b, keep)
		}, []string{stack, "expert 0", "expert 1", "experts.1.up_proj"}},
		"an expert transposed": {func(s *shard) {
			data, n := s.at(stack)
			slice := data[2*len(data)/n : 3*len(data)/n] // [96, 64] in bf16
			was := bytes.Clone(slice)
			for i := range 96 {
				for k := range 64 {
					copy(slice[2*(k*96+i):], was[2*(i*64+k):2*(i*64+k)+2])
				}
			}
		}, []string{stack, "expert 2"}},
		"up and gate exchanged": {func(s *shard) {
			a, _ := s.at(up)
			b, _ := s.at(gate)
			keep := bytes.Clone(a)
			copy(a, b)
			copy(b, keep)
		}, []string{up, gate}},
		"up and gate renamed": {func(s *shard) {
			replace(s, up, "@")
			replace(s, gate, up)
			replace(s, "@", gate)
		}, []string{up, gate, "header"}},
		"a tensor renamed": {func(s *shard) { replace(s, last, "model.nurm.weight") },
			[]string{last, "is missing", "model.nurm.weight", "should not be there"}},
		"a tensor removed": {func(s *shard) {
			i := bytes.Index(s.header, []byte(`,"`+last))
			end := i + bytes.IndexByte(s.header[i:], '}') + 1
			data, _ := s.at(last)
			s.header = append(s.header[:i:i], s.header[end:]...)
			s.data = s.data[:len(s.data)-len(data)] // it is the last one
		}, []string{last, "is missing"}},
		"a tensor added": {func(s *shard) {
			s.header = fmt.Appendf(bytes.TrimSuffix(s.header, []byte("}")), `,"extra":{"dtype":"U8","shape":[3],"data_offsets":[%d,%d]}}`, len(s.data), len(s.data)+3)
			s.data = append(bytes.Clone(s.data), 1, 2, 3)
		}, []string{"extra", "should not be there"}},
		"another dtype":  {func(s *shard) { replace(s, `"BF16"`, `"F16"`) }, []string{"should be bf16"}},
		"another shape":  {func(s *shard) { replace(s, `"shape":[64,64]`, `"shape":[32,128]`) }, []string{"should be bf16 [64, 64]"}},
		"another format": {func(s *shard) { replace(s, `"mlx"`, `"pt"`) }, []string{"header is not what was written"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := exported(t, src, export.Options{NoSync: true})
			damaged(t, out, func(*shard) {})
			if f := verify(t, out); f != nil {
				t.Fatal(f)
			}
			damaged(t, out, c.damage)
			all := strings.Join(verify(t, out), "\n")
			for _, w := range c.want {
				if !strings.Contains(all, w) {
					t.Errorf("%q is not in: %s", w, all)
				}
			}
		})
	}
}

// A file that came later is no fault, but nothing vouches for it; a receipt that
// is not the registered one proves nothing.
func TestVerifySaysWhatItDidNotCheck(t *testing.T) {
	out, r := exported(t, written(t, "hunyuan"), export.Options{NoSync: true, Quantize: &export.Quantize{Group: 32}})
	must(t, os.WriteFile(filepath.Join(out, "modeling_new.py"), []byte("#"), 0o644))
	must(t, os.RemoveAll(r.Root))
	v, err := receipt.Verify(context.Background(), out, receipt.Options{})
	if err != nil || len(v.Faults) > 0 {
		t.Fatal(v, err)
	}
	all := strings.Join(v.NotChecked, "\n")
	for _, w := range []string{"modeling_new.py", "were computed, not copied", "sources: "} {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in: %s", w, all)
		}
	}
	registered, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(out, "wreg-receipt.json")
	for _, change := range []func() error{
		func() error {
			return os.WriteFile(file, bytes.Replace(registered, []byte(`"tool"`), []byte(`"toll"`), 1), 0o644)
		},
		func() error { return os.Remove(file) },
	} {
		must(t, change())
		v, err := receipt.Verify(context.Background(), out, receipt.Options{Receipt: registered})
		if err != nil || len(v.Faults) != 1 || !strings.Contains(v.Faults[0].Message, "not the receipt that was registered") {
			t.Error(v, err)
		}
	}
}
