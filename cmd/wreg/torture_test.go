package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rounds is how many kills a torture test makes: a few in go test, WREG_ROUNDS
// in make torture.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WREG_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("WREG_ROUNDS %q: want a positive number", text)
	}
	return n
}

// process is the wreg to torture: this test binary, run as main.
type process struct {
	t   *testing.T
	dir string
	rnd *rand.Rand
}

func newProcess(t *testing.T) *process {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &process{t, t.TempDir(), rand.New(rand.NewPCG(seed, 0))}
}

func (p *process) command(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "WREG_AS_MAIN=1", "WREG_REGISTRY="+filepath.Join(p.dir, "registry.db"))
	return c
}

// must runs to the end with exit status 0 and gives stdout.
func (p *process) must(args ...string) string {
	p.t.Helper()
	c := p.command(p.t.Context(), args...)
	var talk strings.Builder
	c.Stderr = &talk
	out, err := c.Output()
	if err != nil {
		p.t.Fatalf("wreg %s: %v\n%s%s", strings.Join(args, " "), err, out, talk.String())
	}
	return string(out)
}

// kill runs for a random part of whole and then kills; done says that it was
// quicker and succeeded.
func (p *process) kill(whole time.Duration, args ...string) (done bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(p.rnd.Int64N(int64(whole))))
	defer cancel()
	out, err := p.command(ctx, args...).CombinedOutput() // CommandContext kills with SIGKILL
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("wreg %s failed by itself: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err == nil
}

// A killed ingest leaves a sound registry, and what was reported done stays.
func TestIngestTorture(t *testing.T) {
	p := newProcess(t)
	p.must("synth", "--arch", "hunyuan", "--layers", "24", "--experts", "8", "--out", "hy")
	start := time.Now()
	p.must("ingest", "hy", "--name", "first")
	whole := time.Since(start) * 5 / 4
	stay := 0
	for i := range rounds(t) {
		if p.kill(whole, "ingest", "hy", "--rehash", "--name", "hy") {
			stay++
		}
		p.must("check")
		revisions := 0
		if strings.Contains(p.must("ls"), "hy@") {
			revisions = strings.Count(p.must("ls", "hy"), "\n")
		}
		if revisions < stay {
			t.Fatalf("round %d: %d revisions were reported done, %d are there", i, stay, revisions)
		}
		stay = revisions // one may have become visible just before the kill
	}
	p.must("query", "find * in first")
	p.must("ingest", "hy", "--rehash", "--name", "hy")
	p.must("check")
}

// A killed export leaves nothing under the final name, or all of it; --resume goes
// on and gives what an undisturbed export gives, byte for byte.
func TestExportTorture(t *testing.T) {
	p := newProcess(t)
	p.must("synth", "--arch", "hunyuan", "--layers", "24", "--experts", "8", "--out", "hy")
	p.must("ingest", "hy")
	start := time.Now()
	p.must("export", "hy", "--out", "whole", "--no-register")
	whole := time.Since(start) * 5 / 4
	want := p.files("whole")
	for i := range rounds(t) {
		if !p.kill(whole, "export", "hy", "--out", "out", "--no-register") {
			if _, err := os.Stat(filepath.Join(p.dir, "out")); err != nil {
				p.must("export", "hy", "--out", "out", "--no-register", "--resume")
			}
		}
		if diff := cmp.Diff(want, p.files("out")); diff != "" {
			t.Fatalf("round %d: the folder differs from an undisturbed one (-want +got):\n%s", i, diff)
		}
		p.must("verify", "out")
		if err := os.RemoveAll(filepath.Join(p.dir, "out")); err != nil {
			t.Fatal(err)
		}
	}
	p.must("check")
}

// files gives the hash of every file in a folder.
func (p *process) files(dir string) map[string]string {
	p.t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.dir, dir))
	if err != nil {
		p.t.Fatal(err)
	}
	sums := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(p.dir, dir, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		sums[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return sums
}
