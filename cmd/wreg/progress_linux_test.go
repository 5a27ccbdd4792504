package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/sys/unix"

	"wreg/ingest/remote/hubtest"
	"wreg/synth"
)

// terminal is a pseudo-terminal; read ends it and gives what was written to it.
func terminal(t *testing.T, columns uint16) (slave *os.File, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	resize(t, slave, columns)
	all := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(master) // ends with EIO when the other end is closed
		all <- string(data)
	}()
	return slave, func() string {
		slave.Close()
		return <-all
	}
}

// Help, and how a query is understood, are as narrow as the terminal; what is to be typed
// stays whole.
func TestHelpFits(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", "r.db")
	t.Setenv("WREG_PAGER", "cat")
	var said strings.Builder
	long := strings.Repeat("layer-norm-of-a-long-name.", 10) + "weight"
	if err := oneTensor("m.safetensors", long); err != nil {
		t.Fatal(err)
	}
	if got := run(t.Context(), []string{"ingest", "m.safetensors"}, strings.NewReader(""), &said, &said); got != exitFine {
		t.Fatalf("status %d: %s", got, said.String())
	}
	commands := [][]string{{"--help"}, {"explain", "find * in m"}}
	for _, c := range (&app{out: io.Discard, err: io.Discard}).root().Commands() {
		commands = append(commands, []string{c.Name(), "--help"})
	}
	for _, columns := range []uint16{40, 80, 120} {
		for _, args := range commands {
			slave, read := terminal(t, columns)
			run(t.Context(), args, strings.NewReader(""), slave, slave)
			out := strings.Split(strings.TrimSuffix(strings.ReplaceAll(read(), "\r\n", "\n"), "\n"), "\n")
			for i, line := range out {
				if columnsOf(line) > int(columns) && !strings.HasPrefix(line, "  wreg ") || strings.TrimRight(line, " ") != line || line == "" && i == len(out)-1 {
					t.Errorf("%q at %d columns, line %d: %q", args, columns, i, line)
				}
			}
			if len(out) < 5 {
				t.Errorf("%q: %q", args, out)
			}
		}
	}
}

// oneTensor writes a checkpoint of one tensor of two bytes.
func oneTensor(file, path string) error {
	header := fmt.Appendf(nil, `{%q:{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}`, path)
	return os.WriteFile(file, append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), 0, 0), 0o666)
}

func resize(t *testing.T, terminal *os.File, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// drawn checks that a meter's drawings fit and move to no other line.
func drawn(t *testing.T, out string, columns int) {
	t.Helper()
	for _, line := range strings.FieldsFunc(out, func(r rune) bool { return r == '\r' }) {
		line = strings.ReplaceAll(line, eraseToRight, "")
		if n := text.StringWidthWithoutEscSequences(line); n >= columns || strings.ContainsFunc(line, func(r rune) bool { return !safe(r) }) {
			t.Errorf("%d columns of %d: %q", n, columns, line)
		}
	}
}

func TestMeterFitsTheTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for _, columns := range []uint16{1, 20, 40, 80, 120} {
		slave, read := terminal(t, 500)
		a := &app{err: slave}
		m := a.meter("a/rather/long/path/to/a/checkpoint/hunyuan-large-层-mlx", 1<<40)
		m.stop() // what is drawn from here on, the test draws
		resize(t, slave, columns)
		const mark = "then"
		io.WriteString(slave, mark)
		for i := range int64(50) {
			m.set(i<<34, 1<<40)
			m.draw(time.Duration(i) * time.Minute)
		}
		all := read()
		_, out, _ := strings.Cut(all, mark)
		if n := strings.Count(out, "\r"); n != 50 {
			t.Errorf("%d columns: drawn %d times", columns, n)
		}
		drawn(t, out, int(columns))
		if !strings.HasPrefix(all, "\r") || strings.Contains(all, "\n") {
			t.Errorf("%d columns: %q", columns, all)
		}
	}
}

// Whole commands: the meter's line is gone before anything is said, and nothing but
// what is said ends a line.
func TestCommandsOnATerminal(t *testing.T) {
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	if err := golden.Write("hunyuan", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []uint16{20, 80} {
		for _, kind := range []string{"xterm", "dumb"} {
			t.Setenv("TERM", kind)
			out := fmt.Sprintf("mlx-%d-%s", columns, kind)
			for _, args := range [][]string{
				{"ingest", "hunyuan", "--rehash"}, {"verify", "hunyuan"},
				{"export", "hunyuan", "--target", "mlx", "--out", out, "--no-register"}, {"verify", out}, {"ingest", "hunyuan", "--rehash", "--quiet"},
			} {
				slave, read := terminal(t, columns)
				if got := run(context.Background(), args, strings.NewReader(""), io.Discard, slave); got != exitFine {
					t.Fatalf("%q: exit status %d", args, got)
				}
				all := read()
				bar := args[len(args)-1] != "--quiet" && kind != "dumb"
				if strings.Contains(all, eraseToRight) != bar {
					t.Errorf("%q on %s: %q", args, kind, all)
				}
				for line := range strings.SplitSeq(strings.TrimSuffix(all, "\r\n"), "\r\n") {
					i := strings.LastIndex(line, "\r"+eraseToRight)
					if i < 0 {
						i = -len("\r" + eraseToRight)
					}
					said := line[i+len("\r"+eraseToRight):]
					if i >= 0 {
						drawn(t, line[:i], int(columns))
					}
					if bar && said == "" && args[0] != "ingest" || strings.Contains(said, "\r") {
						t.Errorf("%q at %d columns: %q", args, columns, all)
					}
				}
			}
		}
	}
}

// Of what lies elsewhere one line is drawn while it is read, and gone before anything is
// said; a pipe gets none.
func TestSourceOnATerminal(t *testing.T) {
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := golden.Write(filepath.Join(dir, "hunyuan"), synth.Options{}); err != nil {
		t.Fatal(err)
	}
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": os.DirFS(filepath.Join(dir, "hunyuan"))}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for k, v := range map[string]string{"HF_ENDPOINT": h.URL, "HOME": dir, "HF_HOME": dir, "XDG_CACHE_HOME": dir, "WREG_REGISTRY": filepath.Join(dir, "r.db"), "TERM": "xterm"} {
		t.Setenv(k, v)
	}
	args := []string{"ingest", "hf://acme/tiny", "--dry-run"}
	slave, read := terminal(t, 80)
	if got := run(context.Background(), args, strings.NewReader(""), io.Discard, slave); got != exitFine {
		t.Fatalf("exit status %d", got)
	}
	all := read()
	line, said, ok := strings.Cut(all, "\r"+eraseToRight)
	if !strings.HasPrefix(said, "acme--tiny: ") || strings.Contains(said, eraseToRight) {
		t.Errorf("%q", said)
	}
	if drawn(t, line, 80); !ok || !strings.HasPrefix(line, "\rhf://acme/tiny  ") || !strings.Contains(line, " headers  ") || strings.Contains(line, "\n") {
		t.Errorf("%q", line)
	}
	var piped strings.Builder
	if got := run(context.Background(), args, strings.NewReader(""), io.Discard, &piped); got != exitFine || !strings.HasPrefix(piped.String(), "acme--tiny: ") || strings.Contains(piped.String(), "\r") {
		t.Errorf("exit status %d, %q", got, piped.String())
	}
}
