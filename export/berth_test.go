//go:build unix

package export_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"wreg/export"
	"wreg/registry/tensor"
)

// What lies in the partial folder is kept by every way to export that does not go on
// with it, unless one export alone left it: others' parts, a finished export, what no
// export wrote.
func TestWhatIsKept(t *testing.T) {
	source, dir := written(t, "llama"), t.TempDir()
	registered(t, source, dir)
	out, want := filepath.Join(dir, "out"), filepath.Join(dir, "want")
	berth := filepath.Join(dir, ".out.wreg-partial")
	at := func(out string, changes ...func(*export.Options)) error {
		o := export.Options{NoSync: true, Out: out}
		for _, change := range changes {
			change(&o)
		}
		return childExport(source, o)
	}
	other := func(o *export.Options) { o.DType = tensor.F32 }
	part := func(o *export.Options) { o.Part, o.Parts = 2, 3 }
	resume := func(o *export.Options) { o.Resume = true }
	finish := func(o *export.Options) { o.Finish = true }
	must(t, at(want))

	lay := func(name string) {
		t.Helper()
		write := func(name, text string) {
			must(t, os.MkdirAll(berth, 0o755), os.WriteFile(filepath.Join(berth, name), []byte(text), 0o644))
		}
		switch name {
		case "parts":
			must(t, at(out, part))
		case "parts of another plan":
			must(t, at(out, part, other))
		case "parts and a killed export": // it went on where the parts were
			must(t, at(out, part))
			write("wreg-journal", "")
		case "a finished export":
			must(t, os.CopyFS(berth, os.DirFS(want)))
		case "a folder of somebody's":
			write("notes.txt", "mine")
		case "somebody's weights":
			write("model.safetensors", "mine")
		case "a killed export and notes":
			write("wreg-journal", "")
			write("notes.txt", "mine")
		case "a killed export and a folder":
			write("wreg-journal", "")
			must(t, os.Mkdir(filepath.Join(berth, "wreg-receipt.json"), 0o755))
		case "a file like a journal":
			write("wreg-journal", "")
			write("wreg-journal-old", "mine")
		case "a killed export":
			write("wreg-journal", "")
			write("model.safetensors", "half")
		case "an empty folder":
			must(t, os.Mkdir(berth, 0o755))
		}
	}
	// For each: "" lands; "kept" is refused and nothing is gone.
	for name, c := range map[string]struct {
		alone, aloneOther, partOther, resumeOther, finishOther string // to find in the error
	}{
		"parts":                        {"holds parts of an export", "holds parts of an export", "another plan", "another plan", "another plan"},
		"parts of another plan":        {"holds parts of an export", "holds parts of an export", "", "", ""},
		"parts and a killed export":    {"holds parts of an export", "holds parts of an export", "another plan", "another plan", "another plan"},
		"a finished export":            {"", "another plan", "another plan", "another plan", "another plan"},
		"a folder of somebody's":       {`"notes.txt"`, `"notes.txt"`, "", `"notes.txt"`, "not written yet"},
		"somebody's weights":           {"no journal", "no journal", "", "", "not written yet"},
		"a killed export and notes":    {`"notes.txt"`, `"notes.txt"`, "", `"notes.txt"`, "not written yet"},
		"a killed export and a folder": {"not a regular file", "not a regular file", "not a regular file", "not a regular file", "not a regular file"},
		"a file like a journal":        {`"wreg-journal-old"`, `"wreg-journal-old"`, "", `"wreg-journal-old"`, "not written yet"},
		"a killed export":              {"", "", "", "", "not written yet"},
		"an empty folder":              {"", "", "", "", "not written yet"},
	} {
		for _, way := range []struct {
			name string
			want string
			how  []func(*export.Options)
		}{
			{"alone", c.alone, nil},
			{"alone, another plan", c.aloneOther, []func(*export.Options){other}},
			{"part of another plan", c.partOther, []func(*export.Options){part, other}},
			{"resume another plan", c.resumeOther, []func(*export.Options){resume, other}},
			{"finish another plan", c.finishOther, []func(*export.Options){finish, other}},
		} {
			lay(name)
			before := contents(t, berth)
			err := at(out, way.how...)
			switch {
			case way.want == "" && name == "parts of another plan" && way.name == "finish another plan":
				if err == nil || !strings.Contains(err.Error(), "not written yet") {
					t.Errorf("%s, %s: %v", name, way.name, err)
				}
			case way.want == "":
				must(t, err)
			case err == nil || !strings.Contains(err.Error(), way.want):
				t.Errorf("%s, %s: %v, want … %s …", name, way.name, err, way.want)
			case !strings.HasPrefix(way.name, "alone"): // it may have begun
				for file := range before {
					if _, err := os.Stat(filepath.Join(berth, file)); err != nil {
						t.Errorf("%s, %s: %v", name, way.name, err)
					}
				}
			default:
				sameFolder(t, berth, dirOf(t, before))
			}
			must(t, os.RemoveAll(out), os.RemoveAll(berth))
		}
	}
}

// dirOf writes files to a new folder.
func dirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// A failing export does not take others' parts with it, which came in spite of the
// lock: not every file system has one.
func TestFailureKeepsParts(t *testing.T) {
	src, dir := written(t, "llama"), t.TempDir()
	out, berth := filepath.Join(dir, "out"), filepath.Join(dir, ".out.wreg-partial")
	journal := filepath.Join(berth, "wreg-journal-1-of-2")
	var once sync.Once
	p, err := plan(t, src, export.Options{Out: out, NoSync: true, Progress: func(int64, int64) {
		once.Do(func() {
			os.WriteFile(journal, []byte("theirs"), 0o644)
			shards, _ := filepath.Glob(filepath.Join(src, "*.safetensors"))
			os.Truncate(shards[len(shards)-1], 2000)
		})
	}})
	must(t, err)
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "holds parts of an export") {
		t.Error(err)
	}
	if _, err := os.Stat(journal); err != nil {
		t.Error(err)
	}
}

// A file to be copied that has a name of the export's own is refused before anything
// is written: it would be overwritten, or removed when the export lands.
func TestReservedNames(t *testing.T) {
	for _, name := range []string{"wreg-journal-1-of-2.py", "wreg-journal.model", "WREG-journal-x.tiktoken"} {
		src, dir := written(t, "llama"), t.TempDir()
		must(t, os.WriteFile(filepath.Join(src, name), []byte("mine"), 0o644))
		if _, err := plan(t, src, export.Options{Out: filepath.Join(dir, "out")}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"wreg-receipt.json", "wreg-journal", "wreg-journal-1-of-2", "x.partial", ".wreg-probe-1", "README.md", "tokenizer.json.tmp"} {
		src := written(t, "llama") // not copied, so nothing can happen to it
		must(t, os.WriteFile(filepath.Join(src, name), []byte("mine"), 0o644))
		out, _ := exported(t, src, export.Options{NoSync: true})
		if f := verify(t, out); f != nil {
			t.Errorf("%s: %v", name, f)
		}
		if data, err := os.ReadFile(filepath.Join(src, name)); err != nil || string(data) != "mine" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}
