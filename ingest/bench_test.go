package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// BenchmarkHash reports the rate of hashing beside that of SHA-256 alone on all
// cores, taken in the same run: "of-sha" is their ratio.
func BenchmarkHash(b *testing.B) {
	const n, rows = 24, 2048
	var infos []tensor.Info
	for i := range n {
		infos = append(infos, tensor.Info{Path: fmt.Sprintf("layers.%d.w", i), DType: tensor.BF16, Shape: tensor.Shape{rows, rows}})
	}
	path := filepath.Join(b.TempDir(), "model.safetensors")
	text, _, err := safetensors.AppendHeader(nil, infos, nil)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range n * rows * rows {
		text = binary.LittleEndian.AppendUint16(text, uint16(rng.Uint32())&0x83ff|0x3c00) // ±0.008 to ±2, as weights are
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		b.Fatal(err)
	}
	c, err := Open(b.Context(), path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	total := float64(n * rows * rows * 2)
	for _, o := range []struct {
		name string
		HashOptions
	}{{"all", HashOptions{}}, {"no-stats", HashOptions{NoStats: true}}, {"xxh3", HashOptions{NoSHA: true, NoStats: true}}} {
		b.Run(o.name, func(b *testing.B) {
			sha := shaRate()
			b.SetBytes(int64(total))
			for b.Loop() {
				if _, err := c.Hash(context.Background(), o.HashOptions); err != nil {
					b.Fatal(err)
				}
			}
			rate := total * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate/((sha+shaRate())/2), "of-sha")
		})
	}
}

// shaRate is how many bytes a second all cores hash together.
func shaRate() float64 {
	p := make([]byte, 64<<20)
	start := time.Now()
	cores := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for range cores {
		wg.Go(func() { sha256.Sum256(p) })
	}
	wg.Wait()
	return float64(cores*len(p)) / time.Since(start).Seconds()
}

// BenchmarkOpen reads the headers of 100,000 tensors in 20 shards with an index.
func BenchmarkOpen(b *testing.B) {
	const shards, each = 20, 5000
	dir := b.TempDir()
	var index []string
	for s := range shards {
		var names []string
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, shards)
		for i := range each {
			k := s*each + i
			path := fmt.Sprintf("model.layers.%d.mlp.experts.%d.%s_proj.weight", k/1536, k/3%512, []string{"up", "gate", "down"}[k%3])
			names = append(names, path)
			index = append(index, path+" "+name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(shard(b, 1, names...)), 0o666); err != nil {
			b.Fatal(err)
		}
	}
	writeFiles(b, dir, map[string]string{stIdx: indexOf(index...)})
	b.ReportAllocs()
	for b.Loop() {
		c, err := Open(b.Context(), dir, Options{})
		if err != nil || len(c.Tensors()) != shards*each || len(c.Findings()) > 0 {
			b.Fatal(err, c.Findings())
		}
		c.Close()
	}
}
