package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wreg/ingest/remote/hubtest"
	"wreg/registry/tensor"
)

// remoteUpload is what lies on the hub of wreg demo --remote, remoteSteps what is asked of it: a lost expert is found
// before anything is downloaded.
var (
	remoteUpload = demoStep{"A HunYuan-like model, 16 layers of 8 experts. On its way to a hub, which runs on this machine, one expert was lost.",
		[]string{"synth", "--arch", "hunyuan", "--layers", "16", "--experts", "8", "--hidden", "512", "--out", "DIR/hub/demo/hunyuan", "--without", "layers.3.mlp.experts.2.up_proj.weight"}, exitFine}
	remoteSteps = []demoStep{
		{"Is it whole? Headers say so, before anything is downloaded or registered:",
			[]string{"ingest", "hf://demo/hunyuan", "--dry-run"}, exitFine},
		{"Registered, it answers queries as a model on disk does, but for what only its weights know:",
			[]string{"ingest", "hf://demo/hunyuan"}, exitFine},
		{"", []string{"query", "missing experts.*.up_proj.weight"}, exitFine},
		{"Again costs one request, while the hub has the same commit:",
			[]string{"ingest", "hf://demo/hunyuan"}, exitFine},
	}
)

// demoRemote runs the steps against a hub of its own, to which no token is sent.
func (a *app) demoRemote(ctx context.Context, dir string) (err error) {
	if err := a.demoSteps(ctx, dir, remoteUpload); err != nil {
		return err
	}
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"demo/hunyuan": os.DirFS(filepath.Join(dir, "hub", "demo", "hunyuan"))}})
	if err != nil {
		return err
	}
	defer h.Close()
	defer setenv([][2]string{
		{"HF_ENDPOINT", h.URL}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}, {"HF_HUB_OFFLINE", ""}, {"TRANSFORMERS_OFFLINE", ""}, {"XDG_CACHE_HOME", filepath.Join(dir, "cache")},
	})()
	fmt.Fprintf(a.out, "$ export HF_ENDPOINT=%s\n\n", h.URL)
	if err := a.demoSteps(ctx, dir, remoteSteps...); err != nil {
		return err
	}
	var sent, all int64
	asked := h.Log()
	for _, e := range asked {
		sent += e.Bytes
	}
	err = fs.WalkDir(os.DirFS(filepath.Join(dir, "hub")), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all += info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	said := fmt.Sprintf("The hub was asked %s and sent %s, all in all; the model has %s. With one of the real hub, type:", tensor.Count(len(asked), "time"), size(sent), size(all))
	fmt.Fprintf(a.out, "\n%s\n$ wreg ingest hf://ORG/NAME --dry-run\n", strings.Join(breakLine(said, terminalWidth(a.out), 0), "\n"))
	return nil
}

// setenv sets variables until restore is called.
func setenv(vars [][2]string) (restore func()) {
	was := os.Environ()
	for _, v := range vars {
		os.Setenv(v[0], v[1])
	}
	return func() {
		os.Clearenv()
		for _, v := range was {
			name, value, _ := strings.Cut(v, "=")
			os.Setenv(name, value)
		}
	}
}
