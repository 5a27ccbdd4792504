package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// stateDict emits the pickle of a dict of n tensors, as torch.save writes one:
// each has a storage of its own, of four floats, unless shared.
func stateDict(n int, shared bool) []byte {
	var b bytes.Buffer
	text := func(s string) { // always memoized, as Python does
		b.WriteByte('X')
		binary.Write(&b, binary.LittleEndian, uint32(len(s)))
		b.WriteString(s)
	}
	memo := uint32(0)
	put := func() {
		b.WriteByte('r')
		binary.Write(&b, binary.LittleEndian, memo)
		memo++
	}
	b.WriteString("\x80\x02}")
	put()
	b.WriteByte('(')
	for i := range n {
		text(fmt.Sprintf("model.layers.%d.mlp.experts.%d.up_proj.weight", i/256, i%256))
		put()
		b.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		text("storage")
		b.WriteString("ctorch\nFloatStorage\n")
		key, offset := i, 0
		if shared {
			key, offset = 0, 4*i
		}
		text(fmt.Sprint(key))
		put()
		text("cpu")
		numel := 4
		if shared {
			numel = 4 * n
		}
		b.WriteByte('J')
		binary.Write(&b, binary.LittleEndian, int32(numel))
		b.WriteByte('t')
		put()
		b.WriteString("QJ")
		binary.Write(&b, binary.LittleEndian, int32(offset))
		b.WriteString("K\x02K\x02\x86")
		put()
		b.WriteString("K\x02K\x01\x86")
		put()
		b.WriteString("\x89ccollections\nOrderedDict\n)R")
		put()
		b.WriteByte('t')
		put()
		b.WriteByte('R')
		put()
		if i%1000 == 999 {
			b.WriteString("u(")
		}
	}
	b.WriteString("u.")
	return b.Bytes()
}

// writeCheckpoint writes a zip checkpoint of n tensors of four floats.
func writeCheckpoint(t testing.TB, name string, n int, shared bool) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	record := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "model/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record("data.pkl", stateDict(n, shared))
	if shared {
		record("data/0", make([]byte, 16*n))
	} else {
		for i := range n {
			record(fmt.Sprint("data/", i), make([]byte, 16))
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// manyTensors is what the largest mixtures of experts have, three times over.
const (
	manyTensors = 200_000
	manyHeap    = 512 << 20
)

// TestManyTensors opens checkpoints of 200,000 tensors in a process of its own
// and measures all the heap that it ever took from the system.
func TestManyTensors(t *testing.T) {
	if name := os.Getenv("WREG_TEST_OPEN"); name != "" {
		debug.SetMemoryLimit(manyHeap) // the collector works harder near it
		data, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		info, err := data.Stat()
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(t.Context(), data, info.Size(), "many.pt")
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Tensors()) != manyTensors {
			t.Fatalf("%d tensors", len(f.Tensors()))
		}
		r, err := f.Bytes(manyTensors - 1)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, 16)); n != 16 || err != nil {
			t.Fatal(n, err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("heap %d MiB of a file of %d MiB, %d MiB allocated\n", m.HeapSys>>20, info.Size()>>20, m.TotalAlloc>>20)
		if m.HeapSys > manyHeap {
			t.Fatalf("%d bytes of heap, more than %d", m.HeapSys, manyHeap)
		}
		runtime.KeepAlive(f)
		return
	}
	for _, shared := range []bool{false, true} {
		t.Run(map[bool]string{false: "records", true: "shared"}[shared], func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "many.pt")
			writeCheckpoint(t, name, manyTensors, shared)
			cmd := exec.Command(os.Args[0], "-test.run=^TestManyTensors$", "-test.v")
			cmd.Env = append(os.Environ(), "WREG_TEST_OPEN="+name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			line, _, _ := strings.Cut(string(out[bytes.Index(out, []byte("heap ")):]), "\n")
			t.Log(line)
		})
	}
}
