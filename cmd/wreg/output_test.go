package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"

	"wreg/registry/tensor"
)

// hostile are names that files may hold.
var hostile = []string{
	"plain.weight", "", " ", "tab\there", "line\nbreak", "return\rhere", "\x1b[31mred\x1b[0m", "bell\a", "nul\x00",
	"del\x7f", "csi\u009b31m", "rtl\u202etxet", "zero\u200bwidth", "bom\ufeff", "tag\U000e0041", "bad\xff\xfeutf", `back\slash`,
	`quo"te`, "comma,semi;", "=HYPERLINK()", "+1", "-1", "@x", "<script>&amp;", "]]>", "::error::x", "%0A", "pipe|pipe", "`code`",
	"ünïcödé", "层.权重", "u\u0308ni\u0308", "\u0308", "\u1112\u1161", "하", "K", "\u212a", "\ufa1b", "福", "'=1+1", "=1+1", "''", "'", " =1", " ::x", "##[add-mask]x",
	"a##[x]", "＝1", "x\u3164", "x", "x\ufe0f", "x\u034f", "x\u2800", "\u115fx", "x\U000e0100", "x\u2064", "x\u00ad", "x\u180e", "x\u00a0", "x\u3000", "x ", "x\uffa0", "x\u17b5",
	"x\u2028", "x\u2066", "x\U0001d159", "x\U00016fe4", "x\ufffc", "x\ufffd",
}

func TestEscape(t *testing.T) {
	seen := map[string]string{}
	for _, name := range hostile {
		e := escape(name)
		for _, r := range e {
			if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("escape(%q) = %q holds %U", name, e, r)
			}
			if unicode.In(r, unicode.M, unicode.Other_Default_Ignorable_Code_Point) || r == 0x2800 {
				t.Errorf("escape(%q) = %q holds %U, which does not show", name, e, r)
			}
		}
		if strings.HasPrefix(strings.TrimSpace(e), "::") || strings.Contains(e, "##[") {
			t.Errorf("escape(%q) = %q is a command to a runner", name, e)
		}
		if was, ok := seen[e]; ok {
			t.Errorf("%q and %q both print as %s", name, was, e)
		}
		seen[e] = name
	}
	if got := escape("ünïcödé 层"); got != "ünïcödé 层" {
		t.Errorf("readable text is escaped: %s", got)
	}
	if got := escapeLines("a\n  b\\c\x1b"); got != "a\n  b\\c\\x1b" {
		t.Errorf("escapeLines = %q", got)
	}
}

// Every format stays well-formed whatever the names, and shows every row.
func TestFormatsHoldHostileNames(t *testing.T) {
	rep := &report{
		head:    []field{{"query", "find * where x < 3"}},
		columns: []string{"path", "file", "status", "reason", "shape", "dtype", "hash", "bytes", "min"},
	}
	for _, name := range hostile {
		rep.rows = append(rep.rows, []any{name, name, "missing", name, tensor.Shape{2, 3}, tensor.BF16, tensor.Hash{1}, int64(12), math.NaN()})
	}
	rep.rows = append(rep.rows, []any{"none", nil, nil, nil, nil, nil, tensor.Hash{}, nil, nil})
	for _, format := range formats {
		var out bytes.Buffer
		a := &app{out: &out, err: io.Discard, format: format}
		if err := a.print(rep); err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		s := out.String()
		if i := strings.IndexFunc(s, func(r rune) bool { return r != '\n' && !safe(r) && !(format == "tsv" && r == '\t') }); i >= 0 {
			t.Errorf("%s: %q reaches the terminal", format, s[max(0, i-20):i+1])
		}
		lines := strings.Count(s, "\n")
		switch format {
		case "json":
			var v struct {
				Query string
				Rows  []map[string]any
				Count int
			}
			if err := json.Unmarshal(out.Bytes(), &v); err != nil {
				t.Errorf("json: %v", err)
			} else if v.Count != len(rep.rows) || v.Query != "find * where x < 3" || v.Rows[0]["hash"] != "sha256:01"+strings.Repeat("00", 31) ||
				v.Rows[0]["min"] != nil || v.Rows[0]["dtype"] != "bf16" || v.Rows[len(hostile)]["hash"] != nil {
				t.Errorf("json: %v", v)
			}
			for i, name := range hostile {
				if want := strings.ToValidUTF8(name, "\ufffd\ufffd"); v.Rows[i]["path"] != want {
					t.Errorf("json: %q became %q", want, v.Rows[i]["path"])
				}
			}
		case "sarif":
			if !json.Valid(out.Bytes()) {
				t.Error("sarif is not JSON")
			}
		case "ndjson", "tsv", "github":
			if lines != len(rep.rows) {
				t.Errorf("%s: %d lines for %d rows", format, lines, len(rep.rows))
			}
		case "csv":
			records, err := csv.NewReader(&out).ReadAll()
			if err != nil || len(records) != len(rep.rows)+1 {
				t.Errorf("csv: %d records, %v", len(records), err)
			}
			for _, r := range records {
				if first := strings.TrimSpace(r[0]); strings.ContainsAny(first[:min(1, len(first))], "=+-@") || strings.HasPrefix(first, "＝") {
					t.Errorf("csv: %q is a formula", r[0])
				}
			}
			for i, name := range hostile { // one quote before a text is never its own
				if got := strings.TrimPrefix(records[i+1][0], "'"); got != escape(name) {
					t.Errorf("csv: %q is %q without its quote", name, got)
				}
			}
		case "junit":
			var v struct {
				Tests  int  `xml:"tests,attr"`
				Errors *int `xml:"errors,attr"`
			}
			if err := xml.Unmarshal(out.Bytes(), &v); err != nil || v.Tests != len(rep.rows) || v.Errors == nil {
				t.Errorf("junit: %+v, %v", v, err)
			}
		default: // a header, and a rule under it in Markdown
			if want := len(rep.rows) + 1; lines != want && lines != want+1 {
				t.Errorf("%s: %d lines for %d rows", format, lines, len(rep.rows))
			}
		}
	}
}

func TestPlainMarkdown(t *testing.T) {
	for text, want := range map[string]string{
		"model.layers.{0..3}.q_proj.weight": "model.layers.{0..3}.q_proj.weight", "[4, 64]": "[4, 64]",
		"__init__": `\_\_init\_\_`, "*star*": `\*star\*`, "`code`": "\\`code\\`", "<script>": `\<script>`, "&amp;": `\&amp;`,
		"[x](javascript:y)": `[x\](javascript:y)`, `back\slash`: `back\\slash`, "~~gone~~": `\~\~gone\~\~`, "": "",
	} {
		if got := plainMarkdown(text); got != want {
			t.Errorf("plainMarkdown(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestFormatNone(t *testing.T) {
	rep := &report{columns: []string{"path"}}
	for format, want := range map[string]string{"tsv": "", "csv": "path\n", "ndjson": "", "github": "",
		"json": "{\n  \"columns\": [\"path\"],\n  \"rows\": [],\n  \"count\": 0\n}\n"} {
		var out bytes.Buffer
		a := &app{out: &out, err: io.Discard, format: format}
		if err := a.print(rep); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v; want %q", format, out.String(), err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1024": 1024, "512MiB": 512 << 20, "2GB": 2e9, "1.5 KiB": 1536, "4g": 4 << 30, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "0", "1e30GiB", "12 parsecs", "NaN", "Inf"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, n)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 838860: "819 KiB", 5 << 30: "5 GiB", math.MaxInt64: "8 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestShellLine(t *testing.T) {
	if got := shellLine([]string{"query", "find *", "it's", "", "a/b"}); got != `query 'find *' 'it'\''s' '' a/b` {
		t.Error(got)
	}
	if got := shellLine([]string{"a=b", "tab\there", "line\nbreak's \\", "\x1b[31m", "~", "a\\b", "ü"}); got != `'a=b' $'tab\there' $'line\nbreak\'s \\' $'\x1b[31m' '~' 'a\b' 'ü'` {
		t.Error(got)
	}
}

// What a shell makes of a quoted word is the word.
func TestShellWordIsOneWord(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range append(slices.Clone(hostile), "a=b", "~", "-n", "*", "{a,b}", "$(id)", "x\x01y") {
		if strings.Contains(word, "\x00") { // no argument holds it
			continue
		}
		line := tensor.ShellWord(word)
		out, err := exec.Command(bash, "-c", "printf %s "+line).Output()
		if word == "-n" {
			out, err = exec.Command(bash, "-c", "printf -- "+line).Output()
		}
		if err != nil || string(out) != word || strings.ContainsAny(line, "\n\t") {
			t.Errorf("%q is %s to a shell: %q, %v", word, line, out, err)
		}
	}
}

// Fractions are short where people read a table, in a pipe too, and whole in data.
func TestNumbersAreShortInTables(t *testing.T) {
	rep := &report{columns: []string{"min", "max"}, rows: [][]any{{-2.6110637187957764, 1.0000000150474662e+30}, {0.5, 65504.0}}}
	for format, want := range map[string][]string{
		"table": {"-2.61106", "1e+30", "65504"}, "md": {"-2.61106", "1e+30", "65504"},
		"tsv": {"-2.6110637187957764", "1.0000000150474662e+30"}, "csv": {"-2.6110637187957764"}, "json": {"-2.6110637187957764", "1.0000000150474662e+30"},
	} {
		var out bytes.Buffer
		a := &app{out: &out, err: io.Discard, format: format}
		if err := a.print(rep); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) || (format == "table" || format == "md") && strings.Contains(out.String(), "2.6110637") {
				t.Errorf("%s: %s, want %s", format, &out, w)
			}
		}
	}
}

// JSON is laid out for people, but for what would grow beyond what they read.
func TestIndentedJSON(t *testing.T) {
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]any{"a": []int{1}}, true); err != nil || b.String() != "{\n  \"a\": [\n    1\n  ]\n}\n" {
		t.Errorf("%q, %v", &b, err)
	}
	deep := json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))
	b.Reset()
	if err := writeJSON(&b, deep, true); err != nil || b.Len() > 17*len(deep) || !json.Valid(b.Bytes()) {
		t.Errorf("%d bytes of %d, %v", b.Len(), len(deep), err)
	}
}
