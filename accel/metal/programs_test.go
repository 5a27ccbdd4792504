package metal

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCopies: what a program reads goes in, what it writes comes out, and nothing else.
func TestCopies(t *testing.T) {
	p := params{n: 5, cols: 6}
	for i := range programs {
		program := &programs[i]
		gpu, want := map[int][]byte{}, map[int][]byte{}
		j := job{program: program, params: p}
		for k := range program.buffers {
			j.buffers = append(j.buffers, bytes.Repeat([]byte{byte(k + 1)}, 10*k+1))
			gpu[k] = bytes.Repeat([]byte{0xEE}, 100)
		}
		contents := func(i, n int) []byte { return gpu[i][:n] }
		j.copyIn(contents)
		for k, s := range program.buffers {
			want[k] = bytes.Repeat([]byte{0xEE}, 100)
			switch s.use {
			case read:
				copy(want[k], j.buffers[k])
			case parameters:
				copy(want[k], p.bytes())
			}
			if !bytes.Equal(gpu[k], want[k]) {
				t.Errorf("%s: %s holds %x, want %x", program.name, s.name, gpu[k], want[k])
			}
			gpu[k] = bytes.Repeat([]byte{0xDD}, 100)
		}
		j.copyOut(contents)
		for k, s := range program.buffers {
			if got := bytes.Count(j.buffers[k], []byte{0xDD}) > 0; got != (s.use == written) {
				t.Errorf("%s: %s came back: %v", program.name, s.name, got)
			}
		}
	}
}

// TestGroups: every thread with work is in a group, and no group is without.
func TestGroups(t *testing.T) {
	for n, want := range map[uint32]uint64{1: 1, 255: 1, 256: 1, 257: 2, 1<<32 - 1: 1 << 24} {
		if got := (job{params: params{n: n}}).groups(256); got != want {
			t.Errorf("%d threads: %d groups of 256, want %d", n, got, want)
		}
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		size, n, want int
		enough        bool
	}{{0, 0, 16, false}, {16, 0, 16, true}, {16, 17, 17, false}, {17, 17, 17, true}, {100, 17, 17, true}} {
		if want, enough := room(c.size, c.n); want != c.want || enough != c.enough {
			t.Errorf("%d bytes in %d: %d, %v; want %d, %v", c.n, c.size, want, enough, c.want, c.enough)
		}
	}
}

// TestBuffersAreNumberedAsListed compares programs.go with the kernels: names,
// buffers, what is written, and the fields of Params.
func TestBuffersAreNumberedAsListed(t *testing.T) {
	source, err := os.ReadFile("kernels.metal")
	if err != nil {
		t.Fatal(err)
	}
	argument := regexp.MustCompile(`^(device const|device|constant) \w+ \*(\w+) \[\[buffer\((\d+)\)\]\]$`)
	kernels := regexp.MustCompile(`(?s)kernel void (\w+)\((.*?)\) \{`).FindAllStringSubmatch(string(source), -1)
	var names []string
	for _, k := range kernels {
		names = append(names, k[1])
		p := programOf(k[1])
		if p == nil {
			t.Errorf("kernel %s is not listed", k[1])
			continue
		}
		args := strings.Split(k[2], ",")
		if last := strings.TrimSpace(args[len(args)-1]); last != "uint i [[thread_position_in_grid]]" {
			t.Errorf("%s: the last argument is %q", k[1], last)
		}
		args = args[:len(args)-1]
		if len(args) != len(p.buffers) {
			t.Errorf("%s has %d buffers, %d are listed", k[1], len(args), len(p.buffers))
			continue
		}
		for _, a := range args {
			m := argument.FindStringSubmatch(strings.TrimSpace(a))
			if m == nil {
				t.Errorf("%s: argument %q", k[1], a)
				continue
			}
			n, _ := strconv.Atoi(m[3])
			use := map[string]use{"device const": read, "device": written, "constant": parameters}[m[1]]
			if n >= len(p.buffers) || p.buffers[n] != (slot{m[2], use}) {
				t.Errorf("%s: buffer %d is %s %s, listed otherwise", k[1], n, m[1], m[2])
			}
		}
	}
	for _, p := range programs {
		if !slices.Contains(names, p.name) {
			t.Errorf("%s is listed and not a kernel", p.name)
		}
	}
	body := regexp.MustCompile(`(?s)struct Params \{(.*?)\n\};`).FindStringSubmatch(string(source))
	var fields []string
	for _, f := range regexp.MustCompile(`(?m)^\tuint (\w+);`).FindAllStringSubmatch(body[1], -1) {
		fields = append(fields, f[1])
	}
	if want := []string{"n", "cols", "row0", "blockRows", "blockCols", "scaleCols", "bits", "type"}; !slices.Equal(fields, want) {
		t.Errorf("Params has %q, params %q", fields, want)
	}
	for i, v := range []params{{n: 7}, {cols: 7}, {row0: 7}, {blockRows: 7}, {blockCols: 7}, {scaleCols: 7}, {bits: 7}, {kind: 7}} {
		if b := v.bytes(); len(b) != 4*len(fields) || le.Uint32(b[4*i:]) != 7 {
			t.Errorf("field %s is not at %d in %x", fields[i], 4*i, b)
		}
	}
}
