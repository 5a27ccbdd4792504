package ingest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"wreg/ingest"
	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// A checkpoint is opened by its headers; its bytes are read when they are asked for.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, _, err := safetensors.AppendHeader(nil, []tensor.Info{{Path: "w", DType: tensor.U8, Shape: tensor.Shape{2, 2}, Bytes: 4}}, nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, 1, 2, 3, 4), 0o666)
	}
	if err != nil {
		log.Fatal(err)
	}

	c, err := ingest.Open(context.Background(), dir, ingest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for _, t := range c.Tensors() {
		fmt.Println(t.Path, t.DType, t.Shape, t.Bytes, "bytes in", t.File)
	}
	r, err := c.Bytes("w")
	if err != nil {
		log.Fatal(err)
	}
	row := make([]byte, 2)
	if _, err := r.ReadAt(row, 2); err != nil && err != io.EOF {
		log.Fatal(err)
	}
	fmt.Println(row)
	// Output:
	// w u8 [2, 2] 4 bytes in model.safetensors
	// [3 4]
}
