package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/registry/tensor"
)

// peakLimit bounds the memory of one command, whatever the header.
const peakLimit = ingesttest.Cost * 512 << 20

// largestHeader writes a checkpoint of one file whose header takes 90 MB, which is
// about what the format allows, for as many weights of experts as a checkpoint may
// have.
func largestHeader(t *testing.T, path string) {
	header := []byte{'{'}
	for n := range tensor.MaxTensors {
		if n > 0 {
			header = append(header, ',')
		}
		header = fmt.Appendf(header, `"base_model.model.model.language_model.layers.%d.feed_forward.mixture.experts.%d.up_proj.lora_embedding_%c.weight.default"`, n/1000, n%1000/2, 'A'+n%2)
		header = fmt.Appendf(header, `:{"dtype":"BF16","shape":[1,1],"data_offsets":[%d,%d]}`, 2*n, 2*n+2)
	}
	data := 2 * int64(strings.Count(string(header), "dtype"))
	header = append(header, '}')
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	binary.Write(w, binary.LittleEndian, uint64(len(header)))
	w.Write(header)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(8 + int64(len(header)) + data); err != nil {
		t.Fatal(err)
	}
}

// peak runs to the end and gives the most memory it held, in bytes. What wait4
// reports would start at this test's own peak: exec carries it over.
func (p *process) peak(args ...string) (bytes int64) {
	p.t.Helper()
	status := filepath.Join(p.dir, "status")
	c := p.command(p.t.Context(), args...)
	c.Env = append(c.Env, "WREG_TEST_STATUS="+status)
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("wreg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	text, err := os.ReadFile(status)
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		p.t.Fatal(err)
	}
	return bytes << 10
}

// The largest header goes into the registry within the bound, all of its tensors are asked
// for, and compared with the file.
func TestMemory(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	largestHeader(t, filepath.Join(p.dir, "large.safetensors"))
	for _, args := range [][]string{
		{"ingest", "large.safetensors"},
		{"query", "find ** select path, hash"},
		{"verify", "large"},
	} {
		if peak := p.peak(args...); peak > peakLimit {
			t.Errorf("wreg %s: peak of %d MiB exceeds %d", args[0], peak>>20, peakLimit>>20)
		} else {
			t.Logf("wreg %s: peak of %d MiB", args[0], peak>>20)
		}
	}
}
