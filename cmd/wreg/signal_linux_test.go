package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wreg/ingest/ingesttest"
)

// TestFirstSignal: a command that would read for an hour ends with the first signal,
// whatever the format; what it was at is not registered.
func TestFirstSignal(t *testing.T) {
	t.Parallel()
	const size = 1 << 40
	header := fmt.Appendf(nil, `{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size)
	files := map[string][]byte{
		"m.safetensors": append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...),
		"m.npy":         ingesttest.NPY("|u1", false, []int64{size}, nil),
		"turned.npy":    ingesttest.NPY("|u1", true, []int64{1 << 20, 1 << 10, 1 << 4}, nil),
	}
	for name, head := range files {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			p := newProcess(t)
			path := filepath.Join(p.dir, name)
			if err := errors.Join(os.WriteFile(path, head, 0o600), os.Truncate(path, int64(len(head))+size)); err != nil {
				t.Fatal(err)
			}
			c := p.command(t.Context(), "ingest", name)
			var talk bytes.Buffer
			c.Stderr = &talk
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			for atIt := false; !atIt; {
				var running bool
				if atIt, running = reading(c.Process.Pid, path); !running {
					t.Fatalf("%s: ended by itself: %v, %s", name, c.Wait(), &talk)
				}
			}
			if err := c.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitTrouble || talk.String() != "wreg: interrupted; nothing was left half done\n" {
				t.Errorf("%s: %v: %v, %s", name, signal, err, &talk)
			}
			if out, _ := p.command(t.Context(), "ls").Output(); strings.TrimSpace(string(out)) != "" {
				t.Errorf("%s: %v: registered %s", name, signal, out)
			}
		}
	}
}

// reading says that a process has that file open and is past its header: it has read
// four megabytes, or maps the file. It runs as long as it has any open.
func reading(pid int, path string) (atIt, running bool) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == path {
			atIt = true
		}
	}
	maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	var read int64
	fmt.Sscanf(string(io), "rchar: %d", &read)
	return atIt && (read > 4<<20 || strings.Contains(string(maps), path)), len(links) > 0
}
