package ingest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/shards"
	"wreg/ingest/torch"
	"wreg/registry/tensor"
)

// The files of torch.distributed.checkpoint: a folder's directory, and its shards.
const (
	metadataName    = ".metadata"
	distcpExtension = ".distcp"
	maxMetadata     = 128 << 20
)

// isDistributed says whether the folder is a distributed checkpoint of torch.
func isDistributed(k *shards.Contents) bool {
	return slices.Contains(k.Other, metadataName) && slices.ContainsFunc(k.Other, func(name string) bool { return strings.HasSuffix(name, distcpExtension) })
}

// openDistributed reads a distributed checkpoint: its tensors belong to .metadata,
// whose chunks lie in the other files.
func (c *Checkpoint) openDistributed(ctx context.Context, d files.Files, k *shards.Contents) error {
	for _, f := range shards.Families {
		if files := k.Weights[f.Name]; len(files) > 0 {
			c.otherFormat(files, &f, "distributed")
		}
	}
	meta, err := openIn(ctx, d, metadataName)
	if err != nil {
		return err
	}
	c.open = append(c.open, meta)
	meta.info.Format = "torch"
	if meta.info.Size > maxMetadata {
		return fmt.Errorf("%s: %d bytes; more than %d are not read", metadataName, meta.info.Size, maxMetadata)
	}
	text := make([]byte, meta.info.Size)
	if err := tensor.ReadFull(interrupt.Reader(ctx, meta.disk), text, 0); err != nil {
		return folder.Named(metadataName, err)
	}
	shards := map[string]*file{}
	all, err := torch.OpenDistributed(ctx, text, metadataName, func(name string) (io.ReaderAt, int64, error) {
		f := shards[name]
		if f == nil {
			var err error
			if f, err = openIn(ctx, d, name); err != nil {
				return nil, 0, err
			}
			f.info.Format, f.reader = "torch", &torch.File{} // its chunks are the tensors' of .metadata
			shards[name] = f
			c.open = append(c.open, f)
		}
		return f.disk, f.info.Size, nil
	})
	if err != nil {
		return err
	}
	meta.reader = all
	if err := new(holdings).add(meta); err != nil {
		return err
	}
	if err := c.adopt(ctx, nil); err != nil {
		return err
	}
	return c.sealed()
}
