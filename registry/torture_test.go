package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wreg/registry"
	"wreg/registry/tensor"
)

// childEnv makes the test binary a program that works on a registry until it is
// killed: "torture SEED FILE OTHER"; "full FILE"; "put FILE".
const childEnv = "WREG_REGISTRY_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		if err := child(strings.Fields(job)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(args []string) error {
	switch args[0] {
	case "torture":
		return tortureChild(args[1], args[2], args[3])
	case "full":
		return fullChild(args[1])
	case "put":
		return putChild(args[1])
	}
	return fmt.Errorf("unknown job %q", args[0])
}

// tortureTensors follow from a revision's ref, so that the parent can tell what
// must be there.
func tortureTensors(seed int) []tensor.Info { return moe(2+seed%5, 1+seed%4, uint64(seed)) }

// tortureChild puts, removes, merges, collects, compacts and backs up at random,
// and says what it begins and what it has done.
func tortureChild(seedText, path, otherPath string) error {
	registry.SmallBatches()
	seed, err := strconv.Atoi(seedText)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	ctx := context.Background()
	other, err := registry.Open(otherPath, registry.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	for i := 0; ; i++ {
		switch rng.IntN(10) {
		case 0, 1, 2, 3, 4:
			n := seed*100000 + i
			v, err := r.Put(ctx, registry.Revision{Model: fmt.Sprintf("m%d", rng.IntN(4)), Hashed: true, Root: strconv.Itoa(n)}, tortureTensors(n))
			if err != nil {
				return err
			}
			fmt.Println("put", v.Ref(), n)
		case 5, 6:
			ref := fmt.Sprintf("m%d", rng.IntN(4))
			fmt.Println("removing", ref)
			var missing *registry.NotFoundError
			if err := r.Remove(ref); err != nil && !errors.As(err, &missing) {
				return err
			}
			fmt.Println("removed", ref)
		case 7:
			if _, err := r.Merge(ctx, other); err != nil {
				return err
			}
			fmt.Println("merged")
		case 8:
			if err := r.GC(ctx); err != nil {
				return err
			}
			fmt.Println("collected")
			if _, err := r.Backup(context.Background(), io.Discard); err != nil {
				return err
			}
		case 9:
			if _, _, err := r.Compact(ctx); err != nil {
				return err
			}
			fmt.Println("compacted")
		}
	}
}

// rounds is how long to torture: WREG_ROUNDS, or a little.
func rounds(t *testing.T) int {
	t.Helper()
	n := 20
	if text := os.Getenv("WREG_ROUNDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("WREG_ROUNDS: %v", err)
		}
	}
	return n
}

// tortureState is what the parent knows of a registry.
type tortureState struct {
	put      map[string]int  // ref → seed of its tensors
	removing map[string]bool // a removal of these was begun: all are there or none
	merged   bool
	counts   map[string]int
}

func (s *tortureState) line(line string) {
	f := strings.Fields(line)
	s.counts[f[0]]++
	switch f[0] {
	case "put":
		s.put[f[1]], _ = strconv.Atoi(f[2])
	case "removing":
		s.removing = map[string]bool{}
		for ref := range s.put {
			if strings.HasPrefix(ref, f[1]+"@") {
				s.removing[ref] = true
				delete(s.put, ref)
			}
		}
	case "removed":
		s.removing = nil
	case "merged":
		s.merged = true
	}
}

// TestTorture kills a process that works on a registry at random moments. What it
// said was done must be there, whole; what it had begun must be there whole or not
// at all; and the file must pass its check.
func TestTorture(t *testing.T) {
	rounds := rounds(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, otherPath := filepath.Join(dir, "r.db"), filepath.Join(dir, "other.db")
	other, err := registry.Open(otherPath, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, "far", moe(2, 2, 5))
	put(t, other, "m0", moe(3, 2, 6))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	state := &tortureState{put: map[string]int{}, counts: map[string]int{}}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=torture %d %s %s", childEnv, round, path, otherPath))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// After a few lines, at any moment of what follows.
		lines, delay := 1+rng.IntN(12), time.Duration(rng.IntN(8000))*time.Microsecond
		scan := bufio.NewScanner(out)
		for n := 0; scan.Scan(); n++ {
			if strings.HasPrefix(scan.Text(), "error") {
				t.Errorf("round %d: %s", round, scan.Text())
			}
			state.line(scan.Text())
			if n == lines {
				timer := time.AfterFunc(delay, func() { cmd.Process.Kill() })
				defer timer.Stop()
			}
		}
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the child ended by itself: %v\n%s", round, cmd.ProcessState, stderr.String())
		}
		state.verify(t, round, path)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%v", state.counts)
	for _, what := range []string{"put", "removed", "merged", "collected", "compacted"} {
		if state.counts[what] == 0 && rounds >= 20 {
			t.Errorf("no round came to %s", what)
		}
	}
}

func (s *tortureState) verify(t *testing.T, round int, path string) {
	t.Helper()
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer r.Close()
	mustCheck(t, r)
	removing := s.removing
	s.removing = nil
	err = r.View(func(snap *registry.Snapshot) error {
		found := map[string]bool{}
		models, err := snap.Models()
		if err != nil {
			return err
		}
		for _, m := range models {
			revisions, err := snap.Revisions(m.Model)
			if err != nil {
				return err
			}
			for _, v := range revisions {
				found[v.Ref()] = true
				n, told := s.put[v.Ref()]
				if told && v.Root != strconv.Itoa(n) {
					t.Errorf("round %d: %s holds %s, want %d", round, v.Ref(), v.Root, n)
				}
				want := moe(3, 2, 6) // of the other registry
				if v.Model == "far" {
					want = moe(2, 2, 5)
				}
				if v.Root != "" {
					n, _ = strconv.Atoi(v.Root)
					want = tortureTensors(n)
					s.put[v.Ref()] = n // it was done, though the line was lost
				}
				if got := all(t, snap, v); len(got) != len(want) || got[0].Hash != byPath(want)[0].Hash {
					t.Errorf("round %d: %s holds %d tensors, want %d", round, v.Ref(), len(got), len(want))
				}
			}
		}
		for ref := range s.put {
			if !found[ref] {
				t.Errorf("round %d: %s was done and is lost", round, ref)
			}
		}
		if s.merged && !found["far@1"] {
			t.Errorf("round %d: the merged model is lost", round)
		}
		gone := 0
		for ref := range removing {
			if !found[ref] {
				gone++
			}
		}
		if gone != 0 && gone != len(removing) {
			t.Errorf("round %d: %d of %d revisions of a model were removed", round, gone, len(removing))
		}
		return nil
	})
	if err != nil {
		t.Errorf("round %d: %v", round, err)
	}
}
