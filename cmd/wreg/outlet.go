package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"wreg/export/staging"
	"wreg/ingest"
	"wreg/ingest/places"
	"wreg/push"
	"wreg/push/targets"
)

// outlet publishes what an export finishes, file by file.
type outlet struct {
	target  push.Target
	address string
	pin     string // once it is published
	moved   func(int64)
}

var _ staging.Sink = (*outlet)(nil)

func published(f staging.Sent) push.File {
	return push.File{Name: f.Name, Size: f.Bytes, SHA256: f.SHA256}
}

// Held asks what the store has.
func (o *outlet) Held(ctx context.Context, files []staging.Sent) ([]bool, error) {
	var list []push.File
	for _, f := range files {
		list = append(list, published(f))
	}
	held, err := o.target.Held(ctx, list)
	if err == nil && o.moved != nil {
		for i, f := range files {
			if held[i] {
				o.moved(f.Bytes)
			}
		}
	}
	return held, err
}

// Send puts a file that the store does not have.
func (o *outlet) Send(ctx context.Context, f staging.Sent, from io.ReaderAt) error {
	file := published(f)
	file.Head = make([]byte, min(push.HeadBytes, f.Bytes))
	if _, err := from.ReadAt(file.Head, 0); err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	held, err := o.target.Held(ctx, []push.File{file})
	if err != nil {
		return err
	}
	if held[0] {
		o.moved(f.Bytes)
		return nil
	}
	return o.target.Put(ctx, file, from, o.moved)
}

// Land makes all of them visible.
func (o *outlet) Land(ctx context.Context, files []staging.Sent) (err error) {
	var list []push.File
	for _, f := range files {
		list = append(list, published(f))
	}
	push.Sort(list)
	o.pin, err = o.target.Commit(ctx, list)
	return err
}

// outlet makes an export go to an address, where --out is one. The folder in between lies here, called after it.
func (a *app) outlet(ctx context.Context, o *exportOptions) (*outlet, error) {
	if !targets.Names(o.Out) {
		if o.publish.Private {
			return nil, fmt.Errorf("--private: --out %s is a folder; it is for addresses, as %s", o.Out, targets.Forms()[0])
		}
		return nil, nil
	}
	if err := targets.Check(o.Out); err != nil {
		return nil, err
	}
	if o.Parts > 0 || o.Finish {
		return nil, fmt.Errorf("--out %s: parts are written into one folder; export to that, then wreg push it", o.Out)
	}
	o.publish.UserAgent = tool
	t, err := targets.Open(ctx, o.Out, o.publish)
	if err != nil {
		return nil, err
	}
	out := &outlet{target: t, address: o.Out, moved: func(int64) {}}
	o.Out = workName(o.Out)
	o.Sink = out
	return out, nil
}

// workName is what the folder in between is called after.
func workName(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	name := strings.Map(func(r rune) rune {
		if r == '@' || r == ':' {
			return '-'
		}
		return r
	}, path.Base(strings.Trim(rest, "/")))
	if push.CheckName(name) != nil || strings.HasPrefix(name, ".") {
		return "export"
	}
	return name
}

// output opens what an export made, where it is now.
func (a *app) output(ctx context.Context, o *exportOptions, to *outlet) (*ingest.Checkpoint, error) {
	if to == nil {
		return ingest.Open(ctx, o.Out, ingest.Options{Jobs: o.Jobs})
	}
	p, err := places.Open(ctx, to.pin, places.Options{UserAgent: tool})
	if err != nil {
		return nil, err
	}
	return ingest.OpenPlace(ctx, p, ingest.Options{Jobs: o.Jobs})
}

// where is what an export is told to have made.
func (o *exportOptions) where(to *outlet) string {
	if to == nil {
		return o.Out
	}
	return cmp.Or(to.pin, to.address)
}
