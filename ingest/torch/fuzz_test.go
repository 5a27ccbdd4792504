package torch

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/zipfile"
)

// maxFuzzRead is how much of each tensor a fuzz target reads.
const maxFuzzRead = 1 << 20

// seeds gives every torch fixture of at most 64 KiB: a larger one slows the fuzzer
// down and reaches nothing more.
func seeds(f *testing.F, add func(data []byte)) {
	for _, fx := range fixtures(f, "torch-zip", "torchscript", "torch-legacy", "torch-tar") {
		data, err := os.ReadFile(filepath.Join(fixturesDir, fx.File))
		if err != nil {
			f.Fatal(err)
		}
		if len(data) <= 64<<10 {
			add(data)
		}
	}
	saved, err := filepath.Glob(savedDir + "/*.[pc]*[^y]") // but for make.py
	if err != nil || len(saved) < 25 {
		f.Fatal(saved, err)
	}
	for _, name := range saved {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		add(data)
	}
}

// FuzzPickle reads a pickle whose every class is inert, and storages too.
func FuzzPickle(f *testing.F) {
	seeds(f, func(data []byte) {
		records, err := zipfile.Read(context.Background(), bytes.NewReader(data), int64(len(data)), maxMemory)
		if err != nil {
			f.Add(data) // a stream: its pickles follow one another
			return
		}
		for _, rec := range records {
			if filepath.Ext(rec.Name) != ".pkl" {
				continue
			}
			if b, err := rec.Read(bytes.NewReader(data), 1<<16); err == nil {
				f.Add(b)
			}
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		ingesttest.Bounded(t, len(data), func() {
			result, err := pickle.Load(data, pickle.Options{
				Budget: memoryOf(int64(len(data))),
				Class: func(module, name string, _ func(int64) error) (*pickle.Class, error) {
					return &pickle.Class{Module: module, Name: name}, nil
				},
				Persistent: func(id any) (any, error) { return globals.KindOf(id), nil },
			})
			if (result == nil) == (err == nil) {
				t.Fatalf("result %v and error %v", result != nil, err)
			}
			if err == nil && (result.Size < 1 || result.Size > len(data) || data[result.Size-1] != '.') {
				t.Fatalf("a pickle of %d bytes in %d that does not end with STOP", result.Size, len(data))
			}
		})
	})
}

// FuzzZip reads an archive's directory and every record.
func FuzzZip(f *testing.F) {
	seeds(f, func(data []byte) {
		if bytes.HasPrefix(data, []byte("PK")) {
			f.Add(data)
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		ingesttest.Bounded(t, len(data), func() {
			r := bytes.NewReader(data)
			records, err := zipfile.Read(context.Background(), r, int64(len(data)), maxMemory)
			if err != nil {
				return
			}
			var stored int64
			for i := range records {
				rec := &records[i]
				if rec.Offset < 0 || rec.Stored < 0 || rec.Size < 0 || rec.Offset > int64(len(data))-rec.Stored {
					t.Fatalf("record %q of %d bytes at %d in a file of %d", rec.Name, rec.Stored, rec.Offset, len(data))
				}
				stored += rec.Stored
				rec.Read(r, 64<<10)
			}
			if stored > int64(len(data)) {
				t.Fatalf("records of %d bytes in a file of %d", stored, len(data))
			}
		})
	})
}

// FuzzFile opens a whole file and reads each tensor.
func FuzzFile(f *testing.F) {
	seeds(f, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		ingesttest.Bounded(t, len(data), func() { file, _ = Open(t.Context(), bytes.NewReader(data), int64(len(data)), "fuzz.pt") })
		if file == nil {
			return
		}
		for i, info := range file.Tensors() {
			if i >= 64 {
				break
			}
			if info.Offset >= 0 && info.Offset+info.Bytes > int64(len(data)) {
				t.Fatalf("tensor %q: bytes %d:%d of %d", info.Path, info.Offset, info.Offset+info.Bytes, len(data))
			}
			r, err := file.Bytes(i)
			if err != nil {
				continue
			}
			n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, min(info.Bytes, maxFuzzRead)))
			if err == nil && n < min(info.Bytes, maxFuzzRead) {
				t.Fatalf("tensor %q: %d of %d bytes, no error", info.Path, n, info.Bytes)
			}
		}
	})
}
