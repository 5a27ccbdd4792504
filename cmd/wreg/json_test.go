package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// jsonLines has a command line for every verb, and its exit status; "refuses" are those that
// print text and no data. m is a model, whole; b has a gap.
var jsonLines = []struct {
	line string
	want int
}{
	{"synth --arch llama --out s", exitFine},
	{"ingest s", exitFine},
	{"ingest s", exitFine}, // unchanged
	{"query find|*|in|m", exitFine},
	{"explain find|*|in|m", exitFine},
	{"test m --file my.checks", exitFindings},
	{"export m --out m-mlx", exitFine},
	{"export m --out m-q -q --no-register", exitFine},
	{"export m --out m-p --part 1/2", exitFine},
	{"export m --out m-dry --dry-run", exitFine},
	{"verify m", exitFine},
	{"push m hf://acme/m", -1}, // asks a hub; testdata/script/push.txtar has one
	{"ls", exitFine},
	{"ls m", exitFine},
	{"show m", exitFine},
	{"show m model.norm.weight", exitFine},
	{"coverage m", exitFine},
	{"ui m --idle 1ms", exitFine},
	{"report m -o m.html", exitFine},
	{"report b -o b.html", exitFindings},
	{"stats m", exitFine},
	{"diff m b", exitFindings},
	{"diff m b --values", exitFindings},
	{"check", exitFine},
	{"backup copy.db", exitFine},
	{"merge copy.db", exitFine},
	{"rm s", exitFine},
	{"gc", exitFine},
	{"compact", exitFine},
	{"lint b", exitFindings},
	{"lint --rules", exitFine},
	{"reindex b", exitFine},
	{"arch ls", exitFine},
	{"arch show llama", exitFine},
	{"arch check my.arch", exitFine},
	{"accel check", exitFine},
	{"accel bench", -1}, // takes a while; it prints a report as the others do
	{"version", exitFine},
	{"help columns", exitFine},
	{"man man1", exitFine},
	{"stats m", exitFine},
	{"shell", -1}, // prints an answer for each line
}

// refusesJSON are the verbs that print text for people or a shell.
var refusesJSON = []string{"demo", "completion bash", "completion zsh", "completion fish", "completion powershell", "arch", "accel", "completion", "", "help", "help export", "backup -", "report m -o -"}

// jsonFolder is a folder with what the lines need, and a registry.
func jsonFolder(t *testing.T) {
	t.Helper()
	arch, err := os.ReadFile("../../registry/arch/archs/llama.arch")
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "registry.db"))
	for _, line := range []string{"synth --arch llama --out m", "synth --arch llama --out b --without model.norm.weight", "ingest m", "ingest b"} {
		if status := run(t.Context(), strings.Fields(line), nil, io.Discard, io.Discard); status != exitFine {
			t.Fatalf("%s: status %d", line, status)
		}
	}
	if err == nil {
		err = os.WriteFile("my.arch", arch, 0o666)
	}
	if err == nil {
		err = os.WriteFile("my.checks", []byte("check x\n  expect none\n  find *\n"), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func argsOf(line string) []string {
	words := strings.Fields(line)
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "|", " ")
	}
	return words
}

// No verb ignores --json: what it did is one JSON document on stdout, or the verb is
// refused and did nothing.
func TestEveryVerbHonoursJSON(t *testing.T) {
	jsonFolder(t)
	for _, c := range jsonLines {
		if c.want < 0 {
			continue
		}
		var out, talk bytes.Buffer
		if got := run(t.Context(), append(argsOf(c.line), "--json"), nil, &out, &talk); got != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.line, got, c.want, &talk)
		} else if !json.Valid(out.Bytes()) {
			t.Errorf("%s: not JSON: %q", c.line, out.String())
		}
	}
	before := filesHere(t)
	for _, line := range append(refusesJSON, "no-such-verb", "ls --no-such-flag", "show", "show nowhere", "query find|*|where", "export b --out o", "ingest absent", "lint absent", "verify absent",
		"rm absent", "merge absent", "reindex absent", "test m --file absent", "arch check absent", "arch show absent", "synth --arch absent --out o", "explain find", "diff m", "coverage absent") {
		for _, flag := range []string{"--json", "--format=ndjson"} {
			var out, talk bytes.Buffer
			if got := run(t.Context(), append(argsOf(line), flag), nil, &out, &talk); got != exitTrouble {
				t.Errorf("%s %s: status %d, want 2: %s%s", line, flag, got, &out, &talk)
				continue
			}
			var said struct {
				Error  string
				Status int
				Gaps   []map[string]any
			}
			lines := strings.Split(strings.TrimSpace(talk.String()), "\n")
			if flag == "--json" || !strings.Contains(line, "no-such-flag") {
				if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil || said.Error == "" || said.Status != exitTrouble {
					t.Errorf("%s %s: the last line of stderr is no error in JSON: %q", line, flag, talk.String())
				}
			}
			if out.Len() > 0 && !json.Valid(out.Bytes()) {
				t.Errorf("%s %s: not JSON: %q", line, flag, out.String())
			}
			if line == "export b --out o" && (len(said.Gaps) != 1 || said.Gaps[0]["path"] != "model.norm.weight" || said.Gaps[0]["reason"] == "") {
				t.Errorf("%s: the gaps are not told: %v", line, said.Gaps)
			}
		}
	}
	if now := filesHere(t); !slices.Equal(now, before) {
		t.Errorf("what was refused left files: %q, before %q", now, before)
	}
}

func filesHere(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Every verb is in one of the two tables.
func TestEveryVerbIsAskedForJSON(t *testing.T) {
	a := &app{out: io.Discard, err: io.Discard}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		name := strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), "wreg"))
		asked := slices.Contains(refusesJSON, name)
		for _, l := range jsonLines {
			asked = asked || l.line == name || strings.HasPrefix(l.line, name+" ")
		}
		if !asked {
			t.Errorf("wreg %s: does it honour --json?", name)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
}
