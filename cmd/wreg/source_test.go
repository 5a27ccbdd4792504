package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wreg/ingest/remote"
	"wreg/ingest/remote/hubtest"
)

func TestSourceMeter(t *testing.T) {
	now := time.Now()
	busy := &remote.StatusError{Status: 503}
	for _, c := range []struct {
		read, of int
		events   []remote.Event
		elapsed  time.Duration
		width    int
		want     string
	}{
		{0, 0, nil, 0, 79, "hf://acme/tera  0 of 0 headers  0 B"},
		{0, 1, []remote.Event{{Bytes: 1 << 19}, {Bytes: 1 << 19}}, time.Second, 79, "hf://acme/tera  0 of 1 header  1 MiB  1 MiB/s"},
		{40, 160, []remote.Event{{Bytes: 20 << 20}}, 4 * time.Second, 79, "hf://acme/tera  40 of 160 headers  20 MiB  5 MiB/s  12s left"},
		{40, 160, []remote.Event{{Bytes: 20 << 20}}, 4 * time.Second, 41, "hf://acme/tera  40 of 160 headers  20 MiB"},
		{40, 160, []remote.Event{{Bytes: 20 << 20}}, 4 * time.Second, 20, "hf://acme/tera"},
		{40, 160, []remote.Event{{Wait: time.Minute, Cause: busy}, {Wait: 12 * time.Second, Cause: &remote.StatusError{Status: 429}}}, 0, 79, "hf://acme/tera  40 of 160 headers  waiting 12 s: the hub's limit resets"},
		{40, 160, []remote.Event{{Wait: 2 * time.Second}}, 0, 99, "hf://acme/tera  40 of 160 headers  waiting 2 s: the hub's limit is nearly reached"},
		{40, 160, []remote.Event{{Wait: 4 * time.Second, Try: 3, Cause: busy}}, 0, 79, "hf://acme/tera  40 of 160 headers  waiting 4 s: the hub answers 503, try 3"},
		{40, 160, []remote.Event{{Wait: 4 * time.Second, Try: 3, Cause: errors.New("reset")}}, 0, 79, "hf://acme/tera  40 of 160 headers  waiting 4 s: the connection failed, try 3"},
		{40, 160, []remote.Event{{Wait: time.Second / 10, Try: 1, Cause: busy}}, 0, 79, "hf://acme/tera  40 of 160 headers  0 B"},
	} {
		s := (&app{err: t.Output()}).sourceMeter("hf://acme/tera")
		s.header(c.read, c.of)
		for _, e := range c.events {
			s.notice(e)
		}
		if w := s.awaiting.Load(); w != nil { // until when, as if all were told now
			w.until = now.Add(c.events[len(c.events)-1].Wait)
		}
		if got := s.text(c.elapsed, now, c.width); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		s.stop()
	}
}

// readForPage is what the commands of docs/remote.md read.
func readForPage(t *testing.T, dir string) {
	for name, without := range map[string]string{"lost": "layers.3.mlp.experts.2.up_proj.weight", "whole": ""} {
		args := []string{"synth", "--quiet", "--arch", "hunyuan", "--out", filepath.Join(dir, name)}
		if without != "" {
			args = append(args, "--without", without)
		}
		if s := run(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); s != exitFine {
			t.Fatalf("synth: exit status %d", s)
		}
	}
	lost, whole := os.DirFS(filepath.Join(dir, "lost")), os.DirFS(filepath.Join(dir, "whole"))
	for name, o := range map[string]hubtest.Options{
		"HF_ENDPOINT": {Repos: map[string]fs.FS{"acme/hunyuan": lost, "acme/hunyuan@v1.0": whole, "acme/closed": whole}, Gated: []string{"acme/closed"}, Token: "hf_xxx"},
		"URL":         {Repos: map[string]fs.FS{"acme/hunyuan": whole}},
	} {
		h, err := hubtest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			h.Close()
			if n := h.Leaks(); n > 0 {
				t.Errorf("%d tokens leaked", n)
			}
		})
		t.Setenv(name, h.URL)
		if name == "URL" {
			t.Setenv(name, h.Resolve("acme/hunyuan", "main", "model.safetensors")+"?X-Amz-Signature=0")
		}
	}
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME", "HF_HOME"} {
		t.Setenv(name, "")
	}
}
