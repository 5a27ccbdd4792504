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
// on, killed again and again, and gives what an undisturbed export gives, byte for
// byte. Shares and --finish likewise. Moments are spread over a whole export.
func TestExportTorture(t *testing.T) {
	p := newProcess(t)
	p.must("synth", "--arch", "hunyuan", "--layers", "24", "--experts", "8", "--out", "hy")
	p.must("ingest", "hy")
	kinds := []*tortured{
		{name: "copied"}, // and synced
		{name: "cast", flags: []string{"--dtype", "float16", "--prove", "sha256", "--no-sync"}},
		{name: "quantized", flags: []string{"-q", "--q-group-size", "32", "--no-sync"}},
	}
	for _, k := range kinds {
		start := time.Now()
		p.must(k.args(k.name)...)
		k.whole = time.Since(start) * 5 / 4
		k.want = p.files(k.name)
	}
	killed := 0
	for i := range rounds(t) {
		k := kinds[p.rnd.IntN(len(kinds))]
		if p.rnd.IntN(3) == 0 {
			killed += p.shares(k)
		} else {
			killed += p.resumed(k)
		}
		if diff := cmp.Diff(k.want, p.files("out")); diff != "" {
			t.Fatalf("round %d: %s: the folder differs from an undisturbed one (-want +got):\n%s", i, k.name, diff)
		}
		p.must("verify", "out")
		if err := os.RemoveAll(filepath.Join(p.dir, "out")); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(p.dir, ".*wreg-partial")); left != nil {
			t.Fatalf("round %d: left %v", i, left)
		}
	}
	if killed == 0 {
		t.Error("no export was killed before its end")
	}
	p.must("check")
}

// tortured is a kind of export.
type tortured struct {
	name  string
	flags []string
	whole time.Duration     // a little longer than it takes
	want  map[string]string // what it gives undisturbed
}

func (k *tortured) args(out string, more ...string) []string {
	return append(append([]string{"export", "hy", "--out", out, "--no-register"}, k.flags...), more...)
}

// resumed kills an export, and --resume some times, and lets one end. It counts
// the kills that left something to go on with.
func (p *process) resumed(k *tortured) (killed int) {
	p.t.Helper()
	args := k.args("out")
	for {
		if p.kill(k.whole, args...) || p.there("out") {
			return killed
		}
		if p.there(".out.wreg-partial") {
			killed++
		}
		if args = k.args("out", "--resume"); p.rnd.IntN(8) == 0 {
			args = k.args("out") // starts over
		}
		if p.rnd.IntN(2) == 0 {
			break
		}
	}
	p.must(args...)
	return killed
}

// shares writes the shares of an export in random order, each killed some times,
// and lands them with a --finish that is killed some times.
func (p *process) shares(k *tortured) (killed int) {
	p.t.Helper()
	n := 1 + p.rnd.IntN(5)
	run := func(whole time.Duration, args []string) {
		for p.rnd.IntN(2) == 0 {
			if p.kill(whole, args...) || p.there("out") {
				return
			}
			killed++
		}
		p.must(args...)
	}
	for _, i := range p.rnd.Perm(n) {
		run(k.whole, k.args("out", "--part", fmt.Sprintf("%d/%d", i+1, n)))
		if p.there("out") {
			p.t.Fatal("a share has the final name")
		}
	}
	run(k.whole, k.args("out", "--finish"))
	return killed
}

// there reports whether a folder exists.
func (p *process) there(dir string) bool {
	_, err := os.Stat(filepath.Join(p.dir, dir))
	return err == nil
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
