package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/query"
	"wreg/registry"
)

// talk is a shell whose queries answer with themselves.
func talk(t *testing.T, in string) (s *Shell, out *strings.Builder) {
	t.Helper()
	out = &strings.Builder{}
	s = &Shell{
		In: strings.NewReader(in), Out: out, Err: out, Settings: Settings{Format: "auto"},
		Formats:  []query.Word{{Name: "csv", About: "commas"}, {Name: "tsv", About: "tabs"}, {Name: "ndjson", About: "lines"}},
		Commands: []query.Word{{Name: "show", About: "one model"}},
		Tell:     func(err error) { fmt.Fprintf(out, "error: %v\n", err) },
		Say:      func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) },
		View:     func(fn func(*registry.Snapshot) error) error { return errors.New("no registry") },
		Glance:   func(fn func(*registry.Snapshot) error) error { return errors.New("no registry") },
		Command: func(_ context.Context, words []string, s Settings) error {
			_, err := fmt.Fprintf(out, "%q as %s\n", words, s.Format)
			return err
		},
		Ask: func(_ context.Context, text string, s Settings, w io.Writer) (Answer, error) {
			if strings.HasPrefix(text, "bad") {
				fmt.Fprint(w, "half an answer")
				return Answer{}, errors.New("bad query")
			}
			fmt.Fprintf(w, "%s as %s, expanded %v\n", text, s.Format, s.Expand)
			return Answer{Rows: 7}, nil
		},
	}
	return s, out
}

func TestLines(t *testing.T) {
	t.Chdir(t.TempDir())
	s, out := talk(t, strings.Join([]string{"", "# no query", "find *", ".expand", "find a", ".expand off", ".format csv", "find b", ".format", "find c",
		"show 'a b' c", ".format nosuch", ".timer maybe", ".nosuch", "show 'a", ".export rows.csv", "bad", "find d", "find e", ".export rows.csv", ".quit", "find z"}, "\n"))
	if err := s.Run(t.Context()); err == nil || err.Error() != "6 lines failed" {
		t.Errorf("%v", err)
	}
	want := `find * as auto, expanded false
rows are listed one by one
find a as auto, expanded true
rows fold
find b as csv, expanded false
find c as auto, expanded false
["show" "a b" "c"] as auto
line 12 failed:
error: no format "nosuch"; there are auto, csv, tsv, ndjson
line 13 failed:
error: "maybe": want on or off
line 14 failed:
error: the shell has no command .nosuch; .help lists them
line 15 failed:
error: a quote (') is not closed
the next answer goes to rows.csv
line 17 failed:
error: bad query
rows.csv: 7 rows, as csv
find e as auto, expanded false
line 20 failed:
error: rows.csv exists and is not overwritten; .export another FILE
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
	if data, err := os.ReadFile("rows.csv"); err != nil || string(data) != "find d as csv, expanded true\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// A file that came to be since it was named is not overwritten, and one of a query that
// failed does not stay.
func TestExportOverwritesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	s, out := talk(t, "")
	if err := errors.Join(s.do(t.Context(), ".export x.tsv"), os.WriteFile("x.tsv", []byte("mine"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := s.do(t.Context(), "find *"); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("%v, %s", err, out.String())
	}
	if data, _ := os.ReadFile("x.tsv"); string(data) != "mine" {
		t.Errorf("%q", data)
	}
	if err := s.do(t.Context(), ".export y"); err != nil {
		t.Fatal(err)
	}
	if err := s.do(t.Context(), "bad"); err == nil {
		t.Error("no error")
	}
	if left, _ := filepath.Glob("*"); !slices.Equal(left, []string{"x.tsv"}) {
		t.Errorf("%q", left)
	}
}

// An interrupt ends the query that runs, and no more.
func TestInterrupt(t *testing.T) {
	s, _ := talk(t, "")
	interrupts := make(chan os.Signal, 1)
	asked := 0
	s.Ask = func(ctx context.Context, _ string, _ Settings, _ io.Writer) (Answer, error) {
		if asked++; asked > 1 {
			return Answer{}, ctx.Err()
		}
		interrupts <- os.Interrupt
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}
	if err := s.line(t.Context(), "find *", interrupts); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%v", err)
	}
	interrupts <- os.Interrupt // while nothing runs
	if err := s.line(t.Context(), "find *", interrupts); err != nil {
		t.Errorf("the next query: %v", err)
	}
}

func TestCompleteCommands(t *testing.T) {
	s, _ := talk(t, "")
	for text, want := range map[string]string{
		".":           ".use .models .format .expand .timer .export .help .quit",
		".ex":         ".expand .export",
		".format ":    ".format csv .format tsv .format ndjson",
		".format c":   ".format csv",
		".timer o":    ".timer on .timer off",
		".models x":   "",
		"sh":          "show",
		"mis":         "missing",
		"find * wher": "find * where",
		"nosuch ":     "",
	} {
		var got []string
		for _, c := range s.complete(t.Context(), text) {
			got = append(got, c.Text)
			if !strings.HasPrefix(c.Text, text) || strings.HasPrefix(text, ".ex") && c.About == "" {
				t.Errorf("%q: %+v", text, c)
			}
		}
		if text != "nosuch " && strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for _, c := range commands {
		if c.about == "" || !strings.HasPrefix(c.usage, "."+c.name) {
			t.Errorf("%s: %q, %q", c.name, c.usage, c.about)
		}
	}
}

func TestPaint(t *testing.T) {
	s, _ := talk(t, "")
	for line, want := range map[string]string{
		"find * where layer": "\x1b[1mfind\x1b[0m * \x1b[1mwhere\x1b[0m \x1b[36mlayer\x1b[0m",
		"show find":          "show find", ".use find": ".use find",
		"fnd * x":         "\x1b[4;31mfnd\x1b[0m * x",
		"find \xff where": "find \xff where",
	} {
		if got := s.paint(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// The history is private and bounded, and what was written to its file by others does not
// reach the terminal unless it can be shown.
func TestHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	h, err := openHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxHistory {
		if _, err := h.Write(fmt.Sprintf("find %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{"find 2999", "", "  ", "a\x1b[2Jb", "a\nb", "\xff", "last"} {
		if _, err := h.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if h, err = openHistory(file); err != nil || h.Len() != maxHistory {
		t.Fatalf("%d lines, %v", h.Len(), err)
	}
	first, _ := h.GetLine(0)
	last, _ := h.GetLine(maxHistory - 1)
	if first != "find 2001" || last != "last" {
		t.Errorf("from %q to %q", first, last)
	}
	if _, err := h.GetLine(maxHistory); err == nil {
		t.Error("a line behind the last")
	}
	data, err := os.ReadFile(file)
	st, err2 := os.Stat(file)
	if err = errors.Join(err, err2); err != nil || strings.Count(string(data), "\n") != maxHistory || st.Mode().Perm() != 0o600 {
		t.Errorf("%d lines in the file, mode %v, %v", strings.Count(string(data), "\n"), st.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("good\nbad\x1b[2J\n\xff\n\n"+strings.Repeat("x", 100)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = openHistory(file); err != nil || h.Len() != 2 {
		t.Errorf("%q, %v", h.lines, err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("y", 3*maxHistoryBytes)+"\nshort\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err = openHistory(file)
	if st, _ := os.Stat(file); err != nil || !slices.Equal(h.lines, []string{"short"}) || st.Size() > 100 {
		t.Errorf("%d lines, %v, %d bytes", h.Len(), err, st.Size())
	}
	if left, _ := filepath.Glob(filepath.Dir(file) + "/.*history*"); left != nil {
		t.Errorf("%q", left)
	}
}

// What a line cannot do is said of that line, and the others are answered: it is too long,
// the file it names cannot be made, or cannot be written.
func TestOneLineFails(t *testing.T) {
	t.Chdir(t.TempDir())
	s, out := talk(t, strings.Join([]string{"\ufefffind a", strings.Repeat("x", maxLine+9), "find b", ".export no/such/folder.csv", "find c", ".export .", "find d",
		".export a\x00b", "find e", ".export late/rows.csv", "find f", "find g", ".export kept.csv", ".export", "find h", ".export", strings.Repeat("y", 3*maxLine)}, "\n"))
	if err := os.Mkdir("late", 0o777); err != nil {
		t.Fatal(err)
	}
	say := s.Say
	s.Say = func(format string, args ...any) {
		say(format, args...)
		if strings.Contains(format, "goes to") {
			os.Remove("late") // no folder is there when its file is made
		}
	}
	s.In = io.MultiReader(s.In, strings.NewReader("\nfind z"))
	err := s.Run(t.Context())
	for _, q := range "abcdefghz" {
		if line := fmt.Sprintf("find %c as auto, expanded false\n", q); strings.Contains(out.String(), line) == (q == 'f') {
			t.Errorf("find %c: %s", q, out)
		}
	}
	if err == nil || err.Error() != "7 lines failed" || strings.Count(out.String(), "line is longer than 1048576 bytes") != 2 {
		t.Errorf("%v, %s", err, out)
	}
	if left, _ := filepath.Glob("*"); left != nil {
		t.Errorf("%q", left)
	}
}

// A file that is full is not what the next answers go to.
func TestExportToAFullDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	s, out := talk(t, "")
	if err := s.do(t.Context(), ".export rows.csv"); err != nil {
		t.Fatal(err)
	}
	ask := s.Ask
	s.Ask = func(ctx context.Context, text string, set Settings, w io.Writer) (Answer, error) {
		if b, ok := w.(interface{ Reset(io.Writer) }); ok && text == "find full" {
			b.Reset(fullDisk{})
			w.Write(make([]byte, 1<<20))
		}
		return ask(ctx, text, set, w)
	}
	if err := s.do(t.Context(), "find full"); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
	if err := s.do(t.Context(), "find a"); err != nil || !strings.Contains(out.String(), "find a as auto, expanded false") {
		t.Errorf("%v, %s", err, out)
	}
}

var errFull = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// Who waits for a line that does not come is ended by a signal.
func TestInterruptWhileWaiting(t *testing.T) {
	s, _ := talk(t, "")
	never := func() (string, error) { select {} }
	interrupts := make(chan os.Signal, 1)
	interrupts <- os.Interrupt
	if _, err := s.await(t.Context(), never, interrupts); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s.Edit = range []bool{false, true} {
		if _, err := s.await(ended, never, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}

// A history that is no plain file is neither waited for nor written to.
func TestHistoryThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{link, dir, filepath.Join(dir, "no", "folder")} {
		h, err := openHistory(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := h.Write("find *"); err != nil || h.Len() != 1 {
			t.Errorf("%s: %d lines, %v", file, h.Len(), err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); err == nil {
		t.Error("a link was followed")
	}
}
