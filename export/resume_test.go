//go:build unix

package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"wreg/export"
	"wreg/ingest"
	"wreg/ingest/places"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// A child process of these tests exports what its environment says and prints a
// dot for each step of progress.
const (
	childSource = "WREG_TEST_EXPORT_SOURCE"
	childOut    = "WREG_TEST_EXPORT_OUT"
	childPart   = "WREG_TEST_EXPORT_PART"
	childPeak   = "WREG_TEST_EXPORT_PEAK" // where to write its /proc/self/status at the end
)

func TestMain(m *testing.M) {
	if os.Getenv(childSource) == "" {
		os.Exit(m.Run())
	}
	o := tortured()
	o.Out = os.Getenv(childOut)
	o.Progress = func(int64, int64) { os.Stdout.Write([]byte(".")) }
	switch part := os.Getenv(childPart); part {
	case "":
	case "full disk":
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100_000, Max: 100_000}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	case "resume":
		o.Resume = true
	case "finish":
		o.Finish = true
	default:
		fmt.Sscanf(part, "%d/%d", &o.Part, &o.Parts)
	}
	if err := childExport(os.Getenv(childSource), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if file := os.Getenv(childPeak); file != "" {
		// What wait4 reports starts at the parent's own peak: exec carries it over.
		status, err := os.ReadFile("/proc/self/status")
		if err == nil {
			err = os.WriteFile(file, status, 0o666)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	os.Exit(0)
}

// tortured are the options of all exports here: every kind of step, few bytes at
// once, and both kinds of digests.
func tortured() export.Options {
	return export.Options{DType: tensor.F16, Quantize: &export.Quantize{Group: 32}, Memory: 8 << 20, Jobs: 2, NoSync: true, Prove: export.ProveSHA256}
}

func childExport(source string, o export.Options) error {
	if !places.Names(source) {
		c, err := ingest.Open(context.Background(), source, ingest.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
	}
	r, err := registry.Open(filepath.Join(filepath.Dir(o.Out), "registry.db"), registry.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	var p *export.Plan
	err = r.View(func(s *registry.Snapshot) error {
		v, err := s.Find("m")
		if err != nil {
			return err
		}
		p, err = export.New(context.Background(), s, v, o)
		return err
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	_, err = p.Run(context.Background())
	return err
}

// torture is a folder with a registered model to be exported by children.
func torture(t *testing.T) (source, dir string) {
	t.Helper()
	source, dir = written(t, "hunyuan"), t.TempDir()
	registered(t, source, dir)
	return source, dir
}

// registered ingests a source into the registry that children of dir read.
func registered(t *testing.T, source, dir string) {
	t.Helper()
	c, err := ingest.Open(t.Context(), source, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensors, err := c.Hash(context.Background(), ingest.HashOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files(), Hashed: true}, tensors); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// child starts a child process; its progress can be read from out.
func child(t *testing.T, source, out, part string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childSource+"="+source, childOut+"="+out, childPart+"="+part)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
}

// killAfter runs a child and kills it once it has made so many steps; the signal
// arrives at some moment after that.
func killAfter(t *testing.T, cmd *exec.Cmd, steps int) {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	for range steps {
		if n, _ := pipe.Read(b[:]); n == 0 {
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait() // killed, or done before
}

// sameFolder reports where two folders differ.
func sameFolder(t *testing.T, got, want string) {
	t.Helper()
	a, b := contents(t, got), contents(t, want)
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%s: missing", name)
		} else if a[name] != b[name] {
			t.Errorf("%s: differs", name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			t.Errorf("%s: should not be there", name)
		}
	}
}

func rounds(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("WREG_ROUNDS")); err == nil {
		return n
	}
	return 20
}

// Killed at any moment, an export leaves nothing under the final name, or all of
// it; and --resume gives the folder that an undisturbed export gives.
func TestTortureResume(t *testing.T) {
	source, dir := torture(t)
	want := filepath.Join(dir, "want")
	cmd := child(t, source, want, "")
	dots := &bytes.Buffer{}
	cmd.Stdout = dots
	run(t, cmd)
	steps := dots.Len()
	random := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	resumed := 0
	for range rounds(t) {
		out := filepath.Join(dir, "out")
		killAfter(t, child(t, source, out, ""), random.IntN(steps+steps/8))
		for random.IntN(3) == 0 { // and again while resuming
			killAfter(t, child(t, source, out, "resume"), random.IntN(steps))
		}
		if _, err := os.Stat(out); err != nil {
			resumed++
			run(t, child(t, source, out, "resume"))
		}
		sameFolder(t, out, want)
		if t.Failed() {
			return
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*wreg-partial")); left != nil {
			t.Fatalf("left %v", left)
		}
	}
	if resumed == 0 {
		t.Error("no export was killed before its end")
	}
}

// Seven shares written by seven processes in random order, the last one killed
// and run again, and a finish give the folder of a single run.
func TestTortureShares(t *testing.T) {
	source, dir := torture(t)
	want, out := filepath.Join(dir, "want"), filepath.Join(dir, "out")
	run(t, child(t, source, want, ""))
	random := rand.New(rand.NewPCG(2, uint64(os.Getpid())))
	for _, k := range random.Perm(6) { // all but the first, which is never empty: it is dealt the first piece
		run(t, child(t, source, out, fmt.Sprintf("%d/7", k+2)))
	}
	finish := child(t, source, out, "finish")
	if err := finish.Run(); err == nil {
		t.Error("finish lands six shares of seven")
	} else if !strings.Contains(fmt.Sprint(finish.Stderr), "not written yet") {
		t.Error(finish.Stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an unfinished export has the final name")
	}
	killAfter(t, child(t, source, out, "1/7"), 5)
	run(t, child(t, source, out, "1/7"))
	run(t, child(t, source, out, "finish"))
	sameFolder(t, out, want)
}

// Resuming with other options is refused and says so; exporting without --resume
// starts over.
func TestResumeRefusesAnotherPlan(t *testing.T) {
	source, dir := torture(t)
	out := filepath.Join(dir, "out")
	killAfter(t, child(t, source, out, ""), 5)
	o := tortured()
	o.Out, o.Resume, o.DType = out, true, tensor.BF16
	if err := childExport(source, o); err == nil || !strings.Contains(err.Error(), "another plan") {
		t.Error(err)
	}
	o.Resume = false
	if err := childExport(source, o); err != nil {
		t.Error(err)
	}
}

// What a journal claims is not believed: a part that is not on disk as the journal
// has it is written again.
func TestResumeReadsWhatItKeeps(t *testing.T) {
	source, dir := torture(t)
	want, out := filepath.Join(dir, "want"), filepath.Join(dir, "out")
	run(t, child(t, source, want, ""))
	for k := range 3 {
		run(t, child(t, source, out, fmt.Sprintf("%d/3", k+1)))
	}
	shard := filepath.Join(dir, ".out.wreg-partial", "model.safetensors")
	f, err := os.OpenFile(shard, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 5000), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	f.Close()
	finish := child(t, source, out, "finish")
	if err := finish.Run(); err == nil || !strings.Contains(fmt.Sprint(finish.Stderr), "read back as") {
		t.Error(err, finish.Stderr)
	}
	for k := range 3 {
		run(t, child(t, source, out, fmt.Sprintf("%d/3", k+1)))
	}
	run(t, child(t, source, out, "finish"))
	sameFolder(t, out, want)
}

// A kill while landing leaves a folder without journals, whose receipt says that
// all is done: that is believed as much as a journal, by the same plan only.
func TestLandingIsFinished(t *testing.T) {
	source, dir := torture(t)
	want, out := filepath.Join(dir, "want"), filepath.Join(dir, "out")
	berth := filepath.Join(dir, ".out.wreg-partial")
	for _, o := range []export.Options{tortured(), {NoSync: true}} {
		again := func(out string, change func(*export.Options)) error {
			o := o
			o.Out = out
			change(&o)
			return childExport(source, o)
		}
		if err := again(want, func(*export.Options) {}); err != nil {
			t.Fatal(err)
		}
		resume, finish := func(o *export.Options) { o.Resume = true }, func(o *export.Options) { o.Finish = true }
		for _, steps := range [][]func(*export.Options){
			{finish},
			{resume},
			{func(o *export.Options) { o.Part, o.Parts = 2, 3 }, finish}, // a share run again has nothing to do
		} {
			if err := os.CopyFS(berth, os.DirFS(want)); err != nil {
				t.Fatal(err)
			}
			if err := again(out, func(o *export.Options) { steps[0](o); o.DType = tensor.F32 }); err == nil || !strings.Contains(err.Error(), "another plan") {
				t.Error(err)
			}
			for _, step := range steps {
				if err := again(out, step); err != nil {
					t.Error(err)
				}
			}
			sameFolder(t, out, want)
			os.RemoveAll(out)
		}
		if err := os.CopyFS(berth, os.DirFS(want)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(berth, "model.safetensors"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 5000), 100_000); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := again(out, finish); err == nil || !strings.Contains(err.Error(), "read back as") {
			t.Error(err)
		}
		if err := again(out, resume); err != nil {
			t.Error(err)
		}
		sameFolder(t, out, want)
		os.RemoveAll(out)
		os.RemoveAll(want)
	}
}

// A disk that is full says so and leaves nothing.
func TestFullDisk(t *testing.T) {
	source, dir := torture(t)
	before, _ := os.ReadDir(dir)
	cmd := child(t, source, filepath.Join(dir, "out"), "full disk")
	if err := cmd.Run(); err == nil || !strings.Contains(fmt.Sprint(cmd.Stderr), "model.safetensors") {
		t.Error(err, cmd.Stderr)
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("left %v", after)
	}
}

// Buffers stay within their bound also when a tensor is much larger, whatever is
// done with it: the process peaks at a fraction of the tensor.
func TestMemoryBound(t *testing.T) {
	const allowed = 96 << 20 // the process, its buffers (8 MiB) and the registry
	source, dir := large(t), t.TempDir()
	registered(t, source, dir)
	if peak := peakOf(t, child(t, source, filepath.Join(dir, "out"), ""), dir); peak > allowed {
		t.Errorf("peak of %d MiB exceeds %d", peak>>20, allowed>>20)
	}
}

// large writes a checkpoint of two tensors of 192 MiB, and small ones.
func large(t *testing.T) string {
	t.Helper()
	const tensorBytes = 192 << 20
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := synth.SetSize(c.Config, "vocab", tensorBytes/2/64)
	if err != nil {
		t.Fatal(err)
	}
	infos := c.Without()
	for i := range infos {
		if strings.Contains(infos[i].Path, "embed_tokens") || infos[i].Path == "lm_head.weight" {
			infos[i].Shape = tensor.Shape{tensorBytes / 2 / 64, 64}
		}
	}
	source := filepath.Join(t.TempDir(), "large")
	if err := synth.Write(source, infos, synth.Options{Config: config}); err != nil {
		t.Fatal(err)
	}
	return source
}

// peakOf runs a child and gives the most memory that it held.
func peakOf(t *testing.T, cmd *exec.Cmd, dir string) (peak int64) {
	t.Helper()
	status := filepath.Join(dir, "status")
	if runtime.GOOS == "linux" {
		cmd.Env = append(cmd.Env, childPeak+"="+status)
		run(t, cmd)
		text, err := os.ReadFile(status)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "VmHWM:")
		if _, err := fmt.Sscan(rest, &peak); err != nil {
			t.Fatal(err)
		}
		peak <<= 10
	} else {
		run(t, cmd)
		peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	}
	return peak
}
