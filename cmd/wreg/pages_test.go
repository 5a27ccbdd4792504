package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/s3/s3test"
	"wreg/synth"
)

// A block of a page between fences: how it is tested, and what is done before it.
type block struct{ how, before string }

// How a block is tested. Those of commands run in order and in one folder, the page's own.
const (
	runs     = "runs"     // sh; of console, what it prints is compared, too
	array    = "array"    // runs as 16 tasks of Slurm
	served   = "served"   // runs until it has printed what the page shows, and is interrupted
	file     = "file"     // is written into the file `block`, for what the block's before does with it
	elsewise = "elsewise" // is tested by what `before` names: a test in Go, or conformance, where Python and YAML are read
	nothing  = "text"     // nothing that anybody types: before says what
)

const (
	hunyuan = "wreg synth --arch hunyuan --out ./hunyuan\nwreg ingest ./hunyuan --quiet\n"
)

// pages has every page with blocks, and every block of it in order.
var pages = map[string][]block{
	"README.md": {
		{elsewise, "conformance"},
		{runs, "wreg synth --arch hunyuan --out ./hunyuan --without layers.3.mlp.experts.2.up_proj.weight"},
		{runs, ""},
		{elsewise, "TestReadme"},
	},
	"docs/accel.md":           {{nothing, "a list of folders"}, {runs, ""}},
	"docs/arch-language.md":   {{file, "cp block whole.arch; wreg arch check whole.arch"}, {nothing, "two lines out of an architecture"}},
	"docs/architecture.md":    {{nothing, "a drawing"}},
	"docs/getting-started.md": {{runs, ""}, {runs, ""}, {runs, ""}, {runs, ""}, {runs, ""}, {runs, ""}, {runs, ""}},
	"docs/export.md": {
		{runs, "wreg synth --arch hunyuan --out /data/big; wreg ingest /data/big"},
		{array, "mkdir /scratch"},
		{runs, "JOBID=7"},
		{elsewise, "conformance"},
	},
	"docs/install.md": {{elsewise, "conformance"}, {elsewise, "conformance"}},
	"docs/python.md":  {{elsewise, "conformance"}, {runs, hunyuan}, {runs, ""}},
	"docs/query.md":   {{runs, hunyuan + "wreg export hunyuan --out ./hunyuan-mlx; export WREG_MODEL=hunyuan"}, {runs, ""}, {elsewise, "TestQueryPage"}},
	"docs/recipes.md": {
		{runs, "wreg synth --arch hunyuan --out /models/hunyuan"},
		{array, "wreg synth --arch hunyuan --out /lustre/hunyuan"},
		{runs, ""},
		{elsewise, "conformance"},
		{runs, "for n in 1 2; do mkdir -p /mnt/node$n; wreg synth --arch llama --seed $n --out of$n; wreg ingest of$n --registry /mnt/node$n/registry.db; done"},
		{file, "wreg test hunyuan --file block"},
		{runs, "wreg synth --arch hunyuan --out ./model"},
		{elsewise, "conformance"},
		{runs, "wreg export hunyuan -q --out ./hunyuan-4bit; wreg ingest base tuned"},
		{elsewise, "conformance"},
		{runs, "echo '# hunyuan' > ./hunyuan-4bit/README.md"},
		{runs, ""},
		{runs, ""},
		{runs, ""},
		{runs, "wreg ingest llama"},
		{runs, ""},
		{runs, "wreg export hunyuan --out ./hunyuan-mlx --part 1/2 --no-register"},
	},
	"docs/push.md":            {{runs, hunyuan + "wreg export hunyuan --out ./hunyuan-mlx"}},
	"docs/remote.md":          {{runs, ""}, {runs, ""}, {runs, "export HF_HOME=$PWD/none"}},
	"docs/registry-format.md": {{nothing, "a layout of bytes"}},
	"docs/s3.md":              {{runs, ""}, {runs, "wreg synth --arch hunyuan --out ./here; wreg ingest ./here; wreg export here --out ./hunyuan-mlx"}},
	"docs/ui.md":              {{served, hunyuan}},
	"python/README.md":        {{elsewise, "conformance"}},
}

// prepared makes what cannot be made by wreg.
var prepared = map[string]func(t *testing.T, dir string){"docs/push.md": hubForPage, "docs/remote.md": readForPage, "docs/recipes.md": func(t *testing.T, dir string) {
	for _, name := range []string{"base", "tuned", "llama"} {
		if s := run(t.Context(), []string{"synth", "--quiet", "--arch", "llama", "--layers", "4", "--set", "intermediate_size=128", "--out", filepath.Join(dir, name)}, strings.NewReader(""), os.Stderr, os.Stderr); s != exitFine {
			t.Fatalf("synth: exit status %d", s)
		}
	}
	edit := func(model, path string, change func(data []byte)) {
		name := filepath.Join(dir, model, "model.safetensors")
		at, err := findTensor(name, path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		change(data[at.Offset:][:at.Bytes])
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for layer := range 4 {
		for _, m := range []string{"mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj"} {
			edit("tuned", fmt.Sprintf("model.layers.%d.%s.weight", layer, m), func(data []byte) {
				for i := 0; i < len(data); i += 16 { // one element of eight, by its last bit
					data[i] ^= 1
				}
			})
		}
	}
	edit("llama", "model.layers.3.mlp.down_proj.weight", func(data []byte) {
		binary.LittleEndian.PutUint16(data, uint16(math.Float32bits(2.5)>>16))
	})
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	source := slices.Clone(c.Source)
	for i := range source {
		c.Source[i].Path = "state_dict.model." + source[i].Path
		source[i].Path = fmt.Sprintf("optimizer.state.%d.exp_avg", i)
	}
	c.Source = append(c.Source, source...)
	if err := c.Write(filepath.Join(dir, "run7"), synth.Options{}); err != nil {
		t.Fatal(err)
	}
}, "docs/s3.md": func(t *testing.T, dir string) {
	made := t.TempDir() + "/hunyuan"
	if s := run(t.Context(), []string{"synth", "--quiet", "--arch", "hunyuan", "--shard-bytes", "300000", "--out", made}, strings.NewReader(""), os.Stderr, os.Stderr); s != exitFine {
		t.Fatalf("synth: exit status %d", s)
	}
	store := s3test.Start(t)
	entries, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(made, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		store.Put("team/hunyuan/"+e.Name(), data)
	}
}}

// standIns are the programs of others that pages call: each looks at what it was given, and makes
// what the real one would. ROOT is the repository.
var standIns = map[string]string{
	"hf": `case $1 in
download) [ $# = 4 ] && [ "$3" = --local-dir ] && wreg synth --quiet --arch hunyuan --out "$4" ;;
upload) [ $# = 3 ] && [ -f "$3/config.json" ] ;;
*) false ;;
esac`,
	"make": `grep -q "^$1:" "$ROOT/Makefile"
case $* in
test) ;;
"dist WHERE=linux/amd64") mkdir dist; echo > dist/wreg-1-py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64.whl ;;
*) false ;;
esac`,
	"pip": `[ $# = 2 ] && [ "$1" = install ] && [ -f "$2" ]`,
	"go": `case "$1 $2" in
"run ./cmd/wreg") shift 2; exec wreg "$@" ;;
"test -tags") for folder; do :; done; grep -qE "^func (Test|Benchmark).*Kernels" "$ROOT/$folder"/*_test.go ;;
*) false ;;
esac`,
	"mlx_lm.generate": `[ $# = 4 ] && [ "$1 $3" = "--model --prompt" ] && [ -f "$2/config.json" ] && [ -f "$2/model.safetensors" ]`,
	"duckdb": `[ $# = 2 ] && [ "$1" = -c ]
case $2 in
*"from 'tensors.ndjson'"*) for column in dtype bytes; do grep -q "\"$column\":" tensors.ndjson; done ;;
*) false ;;
esac`,
	"jq": `[ $# = 2 ] && [ "$1" = -s ]
cat > jq.in
for field in $(echo "$2" | grep -oE '\.[a-z_]+' | tr -d .); do grep -q "\"$field\":" jq.in; done`,
	"sbatch": `case $1 in --dependency=afterok:[0-9]*) ;; *) false ;; esac
[ $# = 3 ] && [ "$2" = --wrap ] && exec sh -c "$3"`,
}

// fence begins or ends a block.
var fence = regexp.MustCompile("^ *(?:```|~~~)(.*)$")

// fenced finds the blocks of a page: language, line and text of each.
func fenced(page string) (blocks []fencedBlock) {
	open := false
	for i, line := range strings.SplitAfter(page, "\n") {
		m := fence.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case m != nil && !open:
			blocks = append(blocks, fencedBlock{lang: m[1], line: i + 1})
			open = true
		case m != nil:
			open = false
		case open:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

type fencedBlock struct {
	lang string
	line int
	text string
}

// commands reports whether somebody would type what a block holds.
func (b *fencedBlock) commands() bool {
	return b.lang != "" && strings.Contains(" sh console bash shell ", " "+b.lang+" ") || regexp.MustCompile(`(?m)^(\$ |wreg |WREG_)`).MatchString(b.text)
}

// Every block of every page is tested as its row says, and has one.
func TestPages(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (path != root && strings.HasPrefix(name, ".") || name == "testdata" || name == "out") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		page := filepath.ToSlash(rel)
		blocks := fenced(string(data))
		if len(blocks) == 0 {
			return nil
		}
		found[page] = true
		t.Run(page, func(t *testing.T) { testPage(t, root, page, blocks) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for page := range pages {
		if !found[page] {
			t.Errorf("%s has no blocks, or is gone", page)
		}
	}
}

// elsewhere are the folders of a page that begin at the root: they are made in the page's own.
var elsewhere = regexp.MustCompile(`(^|[\s'"=])/(data|lustre|mnt|models|scratch)\b`)

func testPage(t *testing.T, root, page string, blocks []fencedBlock) {
	rows := pages[page]
	for i := len(rows); i < len(blocks); i++ {
		t.Errorf("%s:%d: the block has no row in pages", page, blocks[i].line)
	}
	if len(rows) != len(blocks) {
		t.Fatalf("%d blocks, %d rows", len(blocks), len(rows))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "docs"), filepath.Join(dir, "docs")); err != nil {
		t.Fatal(err)
	}
	// Status 1 is an answer, 2 a mistake. What a terminal shows is a table.
	write(filepath.Join(bin, "wreg"), "#!/bin/sh\nWREG_AS_MAIN=1 '"+self+"' ${TABLE:+--format table} \"$@\" || [ $? = 1 ]\n")
	for name, script := range standIns {
		write(filepath.Join(bin, name), "#!/bin/sh\nset -e\n"+script+" || { echo \"$0 $*: not as the page's test knows it\" >&2; exit 2; }\n")
	}
	if prepare := prepared[page]; prepare != nil {
		prepare(t, dir)
	}
	script, want := "set -eu\n", map[string]string{}
	for i, row := range rows {
		b := blocks[i]
		out := fmt.Sprintf("block%d.out", i)
		script += fmt.Sprintf("echo '%s:%d'\n", page, b.line)
		switch row.how {
		case nothing, elsewise:
			if row.before == "" || row.how == nothing && b.commands() || b.lang == "sh" {
				t.Errorf("%s:%d: a block of commands runs, or the row says what tests it", page, b.line)
			}
			continue
		case file:
			script += "cat > block <<'END OF BLOCK'\n" + b.text + "END OF BLOCK\n" + row.before + "\n"
			continue
		case array:
			write(filepath.Join(dir, fmt.Sprintf("task%d", i)), b.text)
			script += row.before + fmt.Sprintf("\nfor n in $(seq 16); do mkdir -p tmp$n; TMPDIR=$PWD/tmp$n SLURM_ARRAY_TASK_ID=$n bash -e task%d; done\n", i)
			continue
		}
		script += row.before + "\n"
		switch {
		case b.lang == "sh":
			script += b.text
		case b.lang == "console":
			want[out] = b.text
			for line := range strings.SplitSeq(b.text, "\n") {
				command, ok := strings.CutPrefix(line, "$ ")
				if !ok {
					continue
				}
				script += "cat >> " + out + " <<'END OF BLOCK'\n" + line + "\nEND OF BLOCK\n"
				if row.how == served {
					n := strings.Count(b.text, "\n") - 1
					script += fmt.Sprintf("mkfifo said\nWREG_AS_MAIN=1 '%s' %s > said 2>&1 &\nhead -n %d said >> %s\nkill -INT $!\nwait $! || [ $? = 1 ] || [ $? = 130 ]\n",
						self, strings.TrimPrefix(command, "wreg "), n, out)
					continue
				}
				script += "TABLE=1; export TABLE\n" + command + " >> " + out + " 2>&1\nunset TABLE\n"
			}
		default:
			t.Errorf("%s:%d: a block that runs is sh or console, not %q", page, b.line, b.lang)
		}
	}
	here := func(s string) string { return elsewhere.ReplaceAllString(s, "${1}"+dir+"/$2") }
	tasks, err := filepath.Glob(filepath.Join(dir, "task*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		write(task, here(string(data)))
	}
	c := exec.Command("bash", "-c", here(script))
	c.Dir = dir
	c.Env = append(os.Environ(), "WREG_REGISTRY="+filepath.Join(dir, "registry.db"), "HOME="+dir, "TMPDIR="+t.TempDir(), "ROOT="+root, "PATH="+bin+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		said := strings.TrimSpace(out.String())
		t.Fatalf("%v, at the end of\n%s", err, said[max(0, len(said)-3000):])
	}
	for name, block := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !printed(block).MatchString(string(got)) {
			t.Errorf("%s says\n%sprinted was\n%s", page, block, got)
		}
	}
}

// varies is what differs from run to run of what a page shows: `…` stands for anything in a line.
var varies = []struct{ shown, is string }{
	{`…`, `.*`},
	{`127\.0\.0\.1:[0-9]+`, `127\.0\.0\.1:[0-9]+`},
}

// printed matches what a page says that commands print.
func printed(block string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(block)
	for _, v := range varies {
		shown := strings.ReplaceAll(v.shown, `\.`, `\\\.`)
		pattern = regexp.MustCompile(shown).ReplaceAllLiteralString(pattern, v.is)
	}
	return regexp.MustCompile("^" + pattern + "$")
}
