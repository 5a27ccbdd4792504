package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wreg/registry"
)

// patient is a wait that only a lock which is never let go of exceeds.
const patient = time.Minute

// putChild ingests one model while others do, and says which revision it became.
func putChild(path string) error {
	registry.SmallBatches()
	r, err := registry.Open(path, registry.Options{Timeout: patient})
	if err != nil {
		return err
	}
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Hashed: true}, moe(10, 4, 1))
	if err != nil {
		return err
	}
	fmt.Println(v.Ref())
	return r.Close()
}

// Several processes that ingest the same model into a registry that does not exist
// yet end in as many revisions.
func TestIngestsAtOnce(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "new", "r.db")
	outputs := make([]string, 4)
	var wait sync.WaitGroup
	for i := range outputs {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"=put "+path)
		wait.Go(func() {
			out, err := cmd.CombinedOutput()
			outputs[i] = strings.TrimSpace(string(out))
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wait.Wait()
	slices.Sort(outputs)
	if got := strings.Join(outputs, " "); got != "m@1 m@2 m@3 m@4" {
		t.Errorf("revisions %s", got)
	}
	open(t, path)
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Several goroutines that ingest through one Registry do not disturb each other,
// nor readers, nor what they left behind.
func TestPutsAtOnce(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	put(t, r, "first", moe(3, 2, 1))
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			if _, err := r.Put(context.Background(), registry.Revision{Model: "m"}, moe(6, 3, uint64(i))); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			err := r.View(func(s *registry.Snapshot) error {
				v, err := s.Find("first")
				if err != nil {
					return err
				}
				if got := all(t, s, v); len(got) != len(moe(3, 2, 1)) {
					t.Errorf("%d tensors", len(got))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if c := mustRead(t, r); len(c.Revisions) != 5 {
		t.Errorf("%d revisions, want 5", len(c.Revisions))
	}
}

// A process that waits to write does not keep others from reading, and gets its
// turn when they end.
func TestReadersWhileWriterWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	w := open(t, path)
	put(t, w, "m", moe(2, 1, 1))
	w.Close()
	reader := func() *registry.Registry {
		r, err := registry.Open(path, registry.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := reader()
	// The writer gives up first, to show that it does wait for readers …
	var held *registry.LockError
	if _, err := registry.Open(path, registry.Options{Timeout: time.Millisecond}); !errors.As(err, &held) || held.ReadOnly {
		t.Fatalf("a writer beside a reader: %v", err)
	}
	// … and then waits for as long as it takes.
	done := make(chan error)
	go func() {
		r, err := registry.Open(path, registry.Options{Timeout: patient})
		if err == nil {
			_, err = r.Put(context.Background(), registry.Revision{Model: "m"}, nil)
			err = errors.Join(err, r.Close())
		}
		done <- err
	}()
	for range 5 {
		two := reader()
		if c := mustRead(t, two); len(c.Revisions) != 1 {
			t.Errorf("%d revisions while the writer waits", len(c.Revisions))
		}
		two.Close()
	}
	one.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	three := reader()
	defer three.Close()
	if c := mustRead(t, three); len(c.Revisions) != 2 {
		t.Errorf("%d revisions after the writer's turn", len(c.Revisions))
	}
}

// Goroutines may share a Snapshot and its blocks.
func TestSnapshotShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	w := open(t, path)
	list := moe(6, 4, 1)
	put(t, w, "m", list)
	w.Close()
	r, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.View(func(s *registry.Snapshot) error {
		v, err := s.Find("m")
		if err != nil {
			return err
		}
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				err := s.Guard(func() error {
					if got := all(t, s, v); len(got) != len(list) {
						t.Errorf("%d tensors, want %d", len(got), len(list))
					}
					for _, i := range list {
						if _, ok, err := s.Lookup(v, i.Path); !ok || err != nil {
							return fmt.Errorf("%q: %v, %w", i.Path, ok, err)
						}
					}
					where, err := s.ByHash(list[3].Hash)
					if len(where) != 1 {
						t.Errorf("%d places", len(where))
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
