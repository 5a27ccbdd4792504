package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// TestDamagedFiles hashes the files that torch and numpy wrote, sound and with one byte
// flipped.
func TestDamagedFiles(t *testing.T) {
	for file, record := range map[string]string{
		"good.pt": "", "shared_good.pt": "", "good_ts.pt": "", "good.npz": "", "goodF.npz": "", "goodB.npz": "",
		"flipped.pt": "good/data/0", "shared.pt": "shared_good/data/0", "flipped_ts.pt": "good_ts/data/0",
		"flipped.npz": "w.npy", "flipped_fortran.npz": "w.npy", "flipped_bigendian.npz": "w.npy",
	} {
		refused(t, file, filepath.Join("testdata/damaged", file), record)
	}
}

// refused hashes a file, which must fail and name file, tensor and record; an empty
// record: it must not.
func refused(t *testing.T, what, path, record string) {
	t.Helper()
	c, err := Open(t.Context(), path, Options{})
	if err == nil {
		defer c.Close()
		_, err = c.Hash(context.Background(), HashOptions{NoSHA: true})
	}
	switch {
	case record == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case record == "":
	case err == nil:
		t.Errorf("%s: a flipped byte went unseen", what)
	default:
		for _, part := range []string{filepath.Base(path) + ": ", "ensor \"", fmt.Sprintf("record %q", record), "damaged"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", what, err, part)
			}
		}
	}
}

// flips calls fn with the bytes as they are and with one bit flipped in the first, in
// the middle and in the last byte from a place on.
func flips(data []byte, from int, fn func(where string, flipped []byte)) {
	fn("", data)
	for where, i := range map[string]int{"first": from, "middle": (from + len(data)) / 2, "last": len(data) - 1} {
		b := bytes.Clone(data)
		b[i] ^= 0x40
		fn(where, b)
	}
}

// TestDamagedStorages flips bytes of a storage that tensors look at in every way.
func TestDamagedStorages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.pt")
	view := func(offset int64, shape, stride []int64) ingesttest.View {
		return ingesttest.View{Offset: offset, Shape: shape, Stride: stride}
	}
	flat := func(offset, n int64) ingesttest.View { return view(offset, []int64{n}, []int64{1}) }
	for _, c := range []struct {
		name  string
		numel int
		views []ingesttest.View
	}{
		{"whole", 24, []ingesttest.View{flat(0, 24)}},
		{"tied", 24, []ingesttest.View{flat(0, 24), flat(0, 24)}},
		{"whole and reshaped", 24, []ingesttest.View{flat(0, 24), view(0, []int64{4, 6}, []int64{6, 1})}},
		{"whole and part", 24, []ingesttest.View{flat(0, 24), flat(8, 8)}},
		{"halves", 24, []ingesttest.View{flat(0, 12), flat(12, 12)}},
		{"halves, the second first", 24, []ingesttest.View{flat(12, 12), flat(0, 12)}},
		{"a gap between", 24, []ingesttest.View{flat(0, 8), flat(16, 8)}},
		{"overlapping", 24, []ingesttest.View{flat(0, 16), flat(8, 16)}},
		{"begins late", 24, []ingesttest.View{flat(4, 20)}},
		{"ends early", 24, []ingesttest.View{flat(0, 20)}},
		{"one element", 24, []ingesttest.View{flat(5, 1)}},
		{"transposed", 24, []ingesttest.View{view(0, []int64{6, 4}, []int64{1, 6})}},
		{"every other", 24, []ingesttest.View{view(0, []int64{12}, []int64{2})}},
		{"repeated", 24, []ingesttest.View{view(0, []int64{3, 24}, []int64{0, 1})}},
		{"transposed and a part", 24, []ingesttest.View{view(0, []int64{6, 4}, []int64{1, 6}), flat(0, 3)}},
		{"large", 250_000, []ingesttest.View{flat(0, 250_000)}},
		{"large parts", 250_000, []ingesttest.View{flat(0, 100_001), flat(100_001, 100_000)}},
		{"large, transposed", 250_000, []ingesttest.View{view(0, []int64{250, 1000}, []int64{1, 250})}},
	} {
		for i := range c.views {
			c.views[i].Path, c.views[i].Numel = fmt.Sprint("w", i), int64(c.numel)
		}
		sound := ingesttest.Floats(c.numel)
		flips(sound, 0, func(where string, data []byte) {
			for _, deflate := range []bool{false, true} {
				file := ingesttest.Torch(c.views, ingesttest.Record{Data: data, CRC: sound, Deflate: deflate})
				if err := os.WriteFile(path, file, 0o666); err != nil {
					t.Fatal(err)
				}
				record := "m/data/0"
				if where == "" {
					record = ""
				}
				refused(t, fmt.Sprintf("%s, deflated %v, %s byte", c.name, deflate, where), path, record)
			}
		})
	}
}

// TestDamagedArrays flips bytes of numpy's arrays in every order.
func TestDamagedArrays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.npz")
	for _, descr := range []string{"<f4", ">f4", ">c8", "|u1"} {
		for _, fortran := range []bool{false, true} {
			for _, c := range []struct {
				shape []int64
				more  int // bytes that belong to no element
			}{{[]int64{24}, 0}, {[]int64{4, 6}, 0}, {[]int64{2, 3, 4}, 0}, {[]int64{4, 5}, 9}, {[]int64{100, 1000}, 0}, {[]int64{0, 3}, 5}} {
				n := map[string]int64{"<f4": 4, ">f4": 4, ">c8": 8, "|u1": 1}[descr]
				for _, d := range c.shape {
					n *= d
				}
				sound := ingesttest.NPY(descr, fortran, c.shape, make([]byte, n+int64(c.more)))
				flips(sound, len(sound)-int(n)-c.more, func(where string, data []byte) {
					for _, deflate := range []bool{false, true} {
						file := ingesttest.Zip(ingesttest.Record{Name: "w.npy", Data: data, CRC: sound, Deflate: deflate})
						if err := os.WriteFile(path, file, 0o666); err != nil {
							t.Fatal(err)
						}
						record := "w.npy"
						if where == "" {
							record = ""
						}
						refused(t, fmt.Sprintf("%s %v, fortran %v, deflated %v, %s byte", descr, c.shape, fortran, deflate, where), path, record)
					}
				})
			}
		}
	}
}

// TestDamagedChunks flips a byte of each chunk of a distributed checkpoint.
func TestDamagedChunks(t *testing.T) {
	for _, folder := range []string{"dcp_single", "dcp_sharded"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(fixturesDir, folder))); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.distcp"))
		if err != nil || files == nil {
			t.Fatal(err, "no chunks")
		}
		for _, file := range files {
			sound, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			flipped := 0
			for at := bytes.Index(sound, []byte("PK\x03\x04")); at >= 0; {
				h := sound[at:]
				name := h[30:][:binary.LittleEndian.Uint16(h[26:])]
				body := at + 30 + len(name) + int(binary.LittleEndian.Uint16(h[28:]))
				if bytes.HasSuffix(name, []byte("/data/0")) && !bytes.HasPrefix(sound[body:], []byte("PK")) { // of no empty tensor
					data := bytes.Clone(sound)
					data[body] ^= 0x40
					if err := os.WriteFile(file, data, 0o666); err != nil {
						t.Fatal(err)
					}
					c, err := Open(t.Context(), dir, Options{})
					if err == nil {
						_, err = c.Hash(context.Background(), HashOptions{NoSHA: true})
						c.Close()
					}
					if err == nil || !strings.Contains(err.Error(), "damaged") {
						t.Errorf("%s, the chunk at %d: %v", filepath.Base(file), at, err)
					}
					flipped++
				}
				next := bytes.Index(sound[body:], []byte("PK\x03\x04"))
				if at = body + next; next < 0 {
					at = -1
				}
			}
			if flipped == 0 {
				t.Errorf("%s: no chunk was found", file)
			}
			if err := os.WriteFile(file, sound, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHeldByAll: what is kept inflated is bounded for all shards of a checkpoint together.
func TestHeldByAll(t *testing.T) {
	dir := t.TempDir()
	const n = 7000 // 196 MB
	for i := range 2 {
		view := ingesttest.View{Path: fmt.Sprint("w", i), Numel: n * n, Shape: []int64{n, n}, Stride: []int64{1, n}}
		data := ingesttest.Torch([]ingesttest.View{view}, ingesttest.Record{Data: make([]byte, 300_000), Claim: 4 * n * n})
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("pytorch_model-%05d-of-00002.bin", i+1)), data, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), filepath.Join(dir, fmt.Sprintf("pytorch_model-%05d-of-00002.bin", i+1)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	_, err := Open(t.Context(), dir, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "pytorch_model-00002-of-00002.bin: with it, deflated records") || !strings.Contains(err.Error(), "392000000") {
		t.Error(err)
	}
}

// piecemeal is a file whose tensors take many reads.
type piecemeal struct{ reader }

func (piecemeal) Budget() zipfile.Budget { return zipfile.Budget{Pieces: zipfile.MaxPieces / 2} }
func (piecemeal) Within(*zipfile.Again)  {}

// TestPiecesOfAll: what takes a read for each element is bounded for all shards of a
// checkpoint together.
func TestPiecesOfAll(t *testing.T) {
	for n := range 5 {
		c := &Checkpoint{findings: []tensor.Finding{{Rule: "no-tensors"}}}
		for i := range n {
			c.open = append(c.open, &file{info: tensor.File{Name: fmt.Sprint("f", i)}, reader: piecemeal{}})
		}
		if err := c.sealed(); (err != nil) != (n > 2) || err != nil && !strings.HasPrefix(err.Error(), "f2: with it, tensors") {
			t.Errorf("%d: %v", n, err)
		}
	}
}
