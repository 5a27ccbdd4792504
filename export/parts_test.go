//go:build unix

package export_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/ingest/sums"
	"wreg/registry"
	"wreg/registry/tensor"
)

// registeredHeaders registers a source as --no-hash does: nothing says what its
// bytes were.
func registeredHeaders(t *testing.T, source, dir string) {
	t.Helper()
	c, err := ingest.Open(t.Context(), source, ingest.Options{})
	must(t, err)
	defer c.Close()
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	must(t, err)
	_, err = r.Put(t.Context(), registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files()}, c.Tensors())
	must(t, err, r.Close())
}

// ways are exports whose parts are proven differently: copies, copies of a source
// that was never hashed, casts, codes.
var ways = map[string]struct {
	o        export.Options
	register func(t *testing.T, source, dir string)
}{
	"copied":       {export.Options{}, registered},
	"sha256":       {export.Options{Prove: export.ProveSHA256}, registered},
	"never hashed": {export.Options{}, registeredHeaders},
	"cast":         {export.Options{DType: tensor.F16}, registered},
	"quantized":    {export.Options{Quantize: &export.Quantize{Group: 32}}, registered},
	"all":          {tortured(), registeredHeaders},
}

// piece is a written part: where it lies and what the receipt has of it.
type piece struct {
	path   string
	offset int64
	bytes  int64
	sum    string
}

// pieces picks one part of a stack, and one tensor that was made in one part.
func pieces(t *testing.T, r *receipt.Receipt) []piece {
	t.Helper()
	var stacked, single *piece
	for _, x := range r.Tensors {
		if len(x.Parts) > 1 && stacked == nil {
			p := x.Parts[1]
			stacked = &piece{x.Path, x.Offset + x.Parts[0].Bytes, p.Bytes, p.XXH3}
		}
		if len(x.Parts) == 0 && strings.Contains(x.Path, "self_attn.o_proj") {
			single = &piece{x.Path, x.Offset, x.Bytes, x.XXH3}
		}
	}
	if single == nil {
		t.Fatal("the receipt lacks what is to be damaged")
	}
	if stacked == nil {
		return []piece{*single}
	}
	return []piece{*stacked, *single}
}

func receiptOf(t *testing.T, data []byte) *receipt.Receipt {
	t.Helper()
	r := &receipt.Receipt{}
	must(t, json.Unmarshal(data, r))
	return r
}

// forge zeroes a part of an unfinished export, and has its journals say that zeros
// were meant.
func forge(t *testing.T, berth string, p piece) {
	t.Helper()
	zeros := make([]byte, p.bytes)
	f, err := os.OpenFile(filepath.Join(berth, "model.safetensors"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(zeros, p.offset)
	must(t, err, f.Close())
	s := sums.NewSummer()
	s.Write(zeros)
	names, err := filepath.Glob(filepath.Join(berth, "wreg-journal*"))
	must(t, err)
	changed := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		must(t, err)
		lines := bytes.Split(data, []byte("\n"))
		for i, line := range lines {
			if at := bytes.Index(line, []byte(p.sum)); at >= 0 {
				changed++
				rest := line[at+len(p.sum):]
				if hash := bytes.Index(rest, []byte("sha256:")); hash >= 0 {
					copy(rest[hash:], fmt.Sprintf("sha256:%x", sha256.Sum256(zeros)))
				}
				lines[i] = append(append(line[:at:at], s.Sum().String()...), rest...)
			}
		}
		must(t, os.WriteFile(name, bytes.Join(lines, []byte("\n")), 0o644))
	}
	if changed == 0 {
		t.Fatalf("no journal has %s", p.sum)
	}
}

// A part that was zeroed, with a journal that says so, is not landed; --resume and
// the part run again write it anew.
func TestJournalProvesNothing(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			source, dir := written(t, "hunyuan"), t.TempDir()
			way.register(t, source, dir)
			at := func(out string, change func(*export.Options)) error {
				o := way.o
				o.NoSync = true
				o.Out = filepath.Join(dir, out)
				change(&o)
				return childExport(source, o)
			}
			must(t, at("want", func(*export.Options) {}))
			want, out := filepath.Join(dir, "want"), filepath.Join(dir, "out")
			data, err := os.ReadFile(filepath.Join(want, "wreg-receipt.json"))
			must(t, err)
			share := func(k int) { must(t, at("out", func(o *export.Options) { o.Part, o.Parts = k, 2 })) }
			finish := func(o *export.Options) { o.Finish = true }
			for _, p := range pieces(t, receiptOf(t, data)) {
				for _, mend := range []func(){
					func() { must(t, at("out", func(o *export.Options) { o.Resume = true })) },
					func() { share(1); share(2); must(t, at("out", finish)) },
				} {
					share(1)
					share(2)
					forge(t, filepath.Join(dir, ".out.wreg-partial"), p)
					if err := at("out", finish); err == nil || !strings.Contains(err.Error(), p.path) {
						t.Errorf("%s: %v", p.path, err)
					}
					if _, err := os.Stat(out); err == nil {
						t.Fatal("it landed")
					}
					mend()
					sameFolder(t, out, want)
					must(t, os.RemoveAll(out))
				}
			}
		})
	}
}

// Parts made where one bit of a source differs, with the same size and time, are not
// joined with others; made again from one source they are.
func TestPartsOfTwoSources(t *testing.T) {
	for name, way := range ways {
		if name == "copied" || name == "sha256" {
			continue // never hashed, they are the same
		}
		t.Run(name, func(t *testing.T) {
			source, dir := written(t, "hunyuan"), t.TempDir()
			registeredHeaders(t, source, dir)
			at := func(out string, change func(*export.Options)) error {
				o := way.o
				o.NoSync = true
				o.Out = filepath.Join(dir, out)
				change(&o)
				return childExport(source, o)
			}
			must(t, at("want", func(*export.Options) {}))
			const path = "model.layers.1.self_attn.o_proj.weight"
			turn := func() {
				c, err := ingest.Open(t.Context(), source, ingest.Options{})
				must(t, err)
				info, _ := c.Lookup(path)
				c.Close()
				file := filepath.Join(source, info.File)
				st, err := os.Stat(file)
				must(t, err)
				f, err := os.OpenFile(file, os.O_RDWR, 0)
				must(t, err)
				var b [1]byte
				_, err = f.ReadAt(b[:], info.Offset+1)
				must(t, err)
				b[0] ^= 0x80 // the sign of the first element
				_, err = f.WriteAt(b[:], info.Offset+1)
				must(t, err, f.Close(), os.Chtimes(file, st.ModTime(), st.ModTime()))
			}
			shares := func() {
				for k := 1; k <= 3; k++ {
					must(t, at("out", func(o *export.Options) { o.Part, o.Parts = k, 3 }))
				}
			}
			finish := func(o *export.Options) { o.Finish = true }
			turn()
			shares()
			turn()
			if err := at("out", finish); err == nil || !strings.Contains(err.Error(), path) {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
				t.Fatal("it landed")
			}
			shares()
			must(t, at("out", finish))
			sameFolder(t, filepath.Join(dir, "out"), filepath.Join(dir, "want"))
		})
	}
}
