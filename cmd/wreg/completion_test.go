package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// No shell's script runs what is in the words that it completes.
func TestCompletionScriptsEvalNoWords(t *testing.T) {
	if len(completionScripts) != 4 {
		t.Errorf("%d scripts", len(completionScripts))
	}
	evals := regexp.MustCompile(`(?m)^[^#\n]*(\beval\b|Invoke-Expression).*$`)
	for shell := range completionScripts {
		for _, args := range [][]string{{"completion", shell}, {"completion", shell, "--no-descriptions"}} {
			var out, talk strings.Builder
			if got := run(t.Context(), args, strings.NewReader(""), &out, &talk); got != exitFine {
				t.Fatalf("%q: exit status %d, %s", args, got, talk.String())
			}
			want := "__complete"
			if len(args) == 3 {
				want = "__completeNoDesc"
			}
			if !regexp.MustCompile(want + `\b`).MatchString(out.String()) {
				t.Errorf("%q does not call %s", args, want)
			}
			for _, line := range evals.FindAllString(out.String(), -1) {
				switch {
				case strings.Contains(line, `eval _describe $keepOrder "completions" completions $flagPrefix $noSpace`): // no words: flagPrefix is quoted
				case strings.Contains(line, "__wreg_debug"):
				case shell == "powershell" && strings.Contains(out.String(), "-match '[$`;|&(){}<>@\\r\\n]') { return }\n"+line):
				default:
					t.Errorf("%q evals: %s", args, line)
				}
			}
		}
	}
}

// A script that cobra has changed is not written as if it were safe.
func TestCompletionScriptMustBeAsItWas(t *testing.T) {
	for shell, s := range completionScripts {
		for i := range s.edits {
			s := s
			s.edits = append([]scriptEdit{}, s.edits...)
			s.edits[i].from += "x"
			var out strings.Builder
			if err := s.print((&app{}).root(), &out, true); err == nil || out.Len() > 0 {
				t.Errorf("%s: %d bytes are written, error %v", shell, out.Len(), err)
			}
		}
	}
}

// What bash has on its command line is handed over as it is, and runs nothing.
func TestBashCompletesWithoutRunning(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	if got := run(t.Context(), []string{"completion", "bash"}, strings.NewReader(""), &script, io.Discard); got != exitFine {
		t.Fatal(got)
	}
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte(script.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, cur, want string }{
		{`verify 'pl'`, "pl", "plain"},
		{`verify ''`, "", "plain"},
		{`query '"find * in pl'`, "pl", "find * in plain"},
		{`query find\ \*\ wh`, "wh", "find * where"},
		{`'--format=js'`, "--format=js", "auto"},
		{`rm '$(touch pwned)' '>pwned' pl`, "pl", "plain"},
		{"rm 'a`touch pwned`' '; touch pwned;' '' ", "", "plain"},
		{`rm "\"$(printf '$(touch pwned)')" pl`, "pl", "plain"},
	} {
		cmd := exec.Command("bash", "--norc", "-c", `wreg() { "$EXE" "$@"; }
. ./script
words=(wreg `+c.words+`); cur='`+c.cur+`'
__wreg_get_completion_results; printf '%s\n' "$out"`)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "EXE="+exe, "WREG_AS_MAIN=1", "WREG_REGISTRY="+oldNames(t))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.words, err, out)
		}
		if got, _, _ := strings.Cut(strings.ReplaceAll(string(out), "\t", "\n"), "\n"); strings.TrimRight(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.words, out, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "pwned")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s ran (%v)", c.words, err)
		}
	}
}

// Names that are no longer given can be read, and are not offered to a shell.
func TestOldNames(t *testing.T) {
	t.Setenv("WREG_REGISTRY", oldNames(t))
	odd := []string{"evil$(id)", "tick`x`", "=1"}
	wreg := func(args ...string) (string, int) {
		var out strings.Builder
		got := run(t.Context(), args, strings.NewReader(""), &out, &out)
		return out.String(), got
	}
	for _, args := range [][]string{{"__complete", "show", ""}, {"__complete", "query", "find * in "}, {"__complete", "query", "-m", ""}, {"__complete", "query", "gaps in plain against "}} {
		out, _ := wreg(args...)
		if !strings.Contains(out, "plain") || strings.ContainsAny(out, "$`") || strings.Contains(out, "=1") {
			t.Errorf("%q offers %s", args, out)
		}
	}
	if out, got := wreg("check"); got != exitFine {
		t.Errorf("check: %s", out)
	}
	for _, name := range odd {
		if out, got := wreg("show", name); got != exitFine || !strings.Contains(out, name) {
			t.Errorf("show %s: exit status %d, %s", name, got, out)
		}
		if out, got := wreg("rm", name); got != exitFine {
			t.Errorf("rm %s: %s", name, out)
		}
	}
}

// oldNames is a registry that wreg made when names could hold what a shell runs.
func oldNames(t *testing.T) string {
	packed, err := os.ReadFile("testdata/old-names.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	path := filepath.Join(t.TempDir(), "r.db")
	if err = errors.Join(err, os.WriteFile(path, data, 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnquote(t *testing.T) {
	for word, want := range map[string]string{
		"": "", "plain": "plain", `'a b'`: "a b", `'a b`: "a b", `"a\"b\c`: `a"b\c`, `a\ b\`: `a b\`, `'a\'b`: `a\b`, `''`: "", `a'$(id)'"$x"`: "a$(id)$x", `'"'"'"`: `"'`,
	} {
		if got := unquote(word); got != want {
			t.Errorf("unquote(%s) = %s, want %s", word, got, want)
		}
	}
}
