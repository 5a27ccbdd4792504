package synth

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// chunkBytes is how much of a tensor one worker makes at a time. It is a multiple
// of every block size.
const chunkBytes = 3 << 20

// alignment of the first data byte in a shard.
const alignment = 8

// defaultShardBytes is mlx_lm's limit of one shard.
const defaultShardBytes = 5 << 30

// Options of Write. The zero value writes one shard up to 5 GiB, seed 0.
type Options struct {
	Seed       uint64
	Config     []byte // config.json; nil: none is written
	ShardBytes int64  // bytes of tensors per shard; 0 is 5 GiB
	Tokenizer  int    // entries of a WordLevel tokenizer; 0: none is written
	Format     string // __metadata__'s format; "" is "pt"
	Jobs       int    // workers; 0 is one a core
}

// Write writes a checkpoint into dir: shards, index, config.json and tokenizer.
// Of the tensors it takes Path, DType and Shape, in the given order; the bytes
// are Fill's. dir is created; files in it are replaced.
func Write(dir string, tensors []tensor.Info, o Options) error {
	if o.ShardBytes <= 0 {
		o.ShardBytes = defaultShardBytes
	}
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Format == "" {
		o.Format = "pt"
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	shards, total, err := split(tensors, o.ShardBytes)
	if err != nil {
		return err
	}
	weights := make(map[string]string, len(tensors))
	for i, shard := range shards {
		name := "model.safetensors"
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		for _, t := range shard {
			if _, twice := weights[t.Path]; twice {
				return fmt.Errorf("tensor %q: given twice", t.Path)
			}
			weights[t.Path] = name
		}
		if err := writeShard(filepath.Join(dir, name), shard, o); err != nil {
			return err
		}
	}
	index, err := json.MarshalIndent(map[string]any{
		"metadata": map[string]int64{"total_size": total}, "weight_map": weights}, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"model.safetensors.index.json": index}
	if o.Config != nil {
		var b bytes.Buffer
		if err := json.Indent(&b, o.Config, "", "  "); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
		files["config.json"] = b.Bytes()
	}
	if o.Tokenizer > 0 {
		tokenizer(files, o.Tokenizer)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// split fills shards in order, a new one when the next tensor would pass limit.
func split(tensors []tensor.Info, limit int64) (shards [][]tensor.Info, total int64, err error) {
	var have int64
	for _, t := range tensors {
		if t.Bytes, err = t.Shape.Bytes(t.DType); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		if n := len(shards); n == 0 || have > 0 && have+t.Bytes > limit {
			shards, have = append(shards, nil), 0
		}
		last := &shards[len(shards)-1]
		*last = append(*last, t)
		have, total = have+t.Bytes, total+t.Bytes
	}
	return shards, total, nil
}

// writeShard writes one safetensors file; workers fill it chunk by chunk.
func writeShard(path string, tensors []tensor.Info, o Options) (err error) {
	header, offsets, err := appendHeader(tensors, o.Format)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(header); err != nil {
		return err
	}
	if err := f.Truncate(offsets[len(tensors)]); err != nil {
		return err
	}
	buffers := sync.Pool{New: func() any { return new([chunkBytes]byte) }}
	var g errgroup.Group
	g.SetLimit(o.Jobs)
	for i, t := range tensors {
		elems, size := t.DType.Block()
		step := chunkBytes / size * size
		for off := int64(0); off < t.Bytes; off += step {
			g.Go(func() error {
				buf := buffers.Get().(*[chunkBytes]byte)
				defer buffers.Put(buf)
				b := buf[:min(step, t.Bytes-off)]
				if err := Fill(b, t.Path, o.Seed, t.DType, off/size*elems); err != nil {
					return err
				}
				_, err := f.WriteAt(b, offsets[i]+off)
				return err
			})
		}
	}
	return g.Wait()
}

// appendHeader gives the header of a shard, padded so that the data are aligned
// as the hub's checkpoints have them, and where each tensor begins.
func appendHeader(tensors []tensor.Info, format string) ([]byte, []int64, error) {
	header, offsets, err := safetensors.AppendHeader(nil, tensors, map[string]string{"format": format})
	if err != nil {
		return nil, nil, err
	}
	pad := -len(header) & (alignment - 1)
	header = append(header, strings.Repeat(" ", pad)...)
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	for i := range offsets {
		offsets[i] += int64(pad)
	}
	return header, offsets, nil
}
