package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/testscript"

	"wreg/ingest/remote/hubtest"
)

// hubForPage is what the commands of docs/push.md publish to.
func hubForPage(t *testing.T, dir string) {
	h, err := hubtest.Start(hubtest.Options{Token: "hf_token", Store: filepath.Join(dir, "hub.store")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	for name, value := range map[string]string{"HF_ENDPOINT": h.URL, "HF_TOKEN": "hf_token", "HF_HOME": dir, "XDG_CACHE_HOME": dir} {
		t.Setenv(name, value)
	}
}

// hubs are those of scripts that run, by the folder of each.
var hubs sync.Map

// hub [FAULT...] starts a hub that can be pushed to, with a repository acme/there, or has the one that runs strike. hub
// -read ORG/NAME FILE TO writes a file of it, hub -leaks fails where a token came to others.
func hubCmd(ts *testscript.TestScript, neg bool, args []string) {
	at := ts.Getenv("WORK")
	running, there := hubs.Load(at)
	if len(args) > 0 && args[0] == "-read" {
		data, err := running.(*hubtest.Hub).Read(args[1], args[2])
		if neg != (err != nil) {
			ts.Fatalf("%s: %v", args[2], err)
		}
		if !neg {
			ts.Check(os.WriteFile(ts.MkAbs(args[3]), data, 0o666))
		}
		return
	}
	if len(args) > 0 && args[0] == "-leaks" {
		if n := running.(*hubtest.Hub).Leaks(); n != 0 {
			ts.Fatalf("%d tokens leaked", n)
		}
		return
	}
	if !there {
		h, err := hubtest.Start(hubtest.Options{Token: "hf_token", Store: filepath.Join(at, "hub.store"), Part: 32 << 10,
			Repos: map[string]fs.FS{"acme/there": fstest.MapFS{"README.md": {Data: []byte("a card\n")}}}})
		ts.Check(err)
		hubs.Store(at, h)
		ts.Defer(func() { h.Close(); hubs.Delete(at) })
		running = h
		ts.Setenv("HF_ENDPOINT", h.URL)
		ts.Setenv("HF_TOKEN", "hf_token")
		ts.Setenv("HF_HOME", filepath.Join(at, "hf"))
		ts.Setenv("XDG_CACHE_HOME", filepath.Join(at, "cache"))
	}
	var faults []hubtest.Fault
	for _, spec := range args {
		f, err := hubtest.Parse(spec)
		ts.Check(err)
		faults = append(faults, f)
	}
	running.(*hubtest.Hub).Faults(faults...)
}
