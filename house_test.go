// Package wreg_test holds the tests of the house itself: who may import whom,
// and how large a file may grow.
package wreg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says what each package, and the packages below it, may import of this
// module besides itself and registry/tensor. The longest prefix decides.
var rooms = map[string]struct {
	may []string
	why string
}{
	"registry/tensor":  {nil, "the vocabulary is spoken by everyone, so it knows no one"},
	"registry/expr":    {nil, "query and arch share one expression language, which must not depend on either"},
	"registry/pyjson":  {nil, "config.json is read and written in one way, which knows no one"},
	"registry":         {[]string{"registry/boltfile", "registry/block", "registry/codec", "registry/disk", "registry/hashindex", "registry/record"}, "the store keeps what it is given; what a checkpoint or an architecture is, others know"},
	"registry/arch":    {[]string{"registry/expr", "registry/method", "registry/arch/op", "registry/arch/lang", "registry/arch/declare", "registry/arch/stray", "registry/arch/wrap", "registry/pyjson"}, "an architecture is judged from metadata alone, without a store or files"},
	"query":            {[]string{"registry", "registry/arch", "registry/expr", "query/lang", "query/rows", "query/gaps", "query/fold"}, "a query only reads the registry; it opens no checkpoint and writes none"},
	"query/lang":       {[]string{"registry/arch", "registry/expr", "query/rows"}, "the language is understood without a registry at hand"},
	"query/rows":       {[]string{"registry", "registry/block", "registry/arch", "registry/expr"}, "rows are computed the same whatever language asked and whatever found the gaps"},
	"query/gaps":       {[]string{"registry", "registry/method", "registry/block", "registry/arch", "registry/arch/op", "registry/arch/wrap"}, "what a model lacks does not depend on how it is asked for or shown"},
	"query/fold":       {nil, "folding is for the eye: columns and rows are all it knows"},
	"ingest":           {[]string{"accel", "registry/method", "registry/pyjson", "ingest/place", "ingest/remote"}, "a checkpoint is read the same whether or not it is ever registered; cmd joins the two"},
	"ingest/place":     {nil, "what a place is does not depend on where it is"},
	"push":             {[]string{"ingest", "ingest/place", "ingest/remote", "export/receipt"}, "files are published the same whatever made them; what an export left of proof is held against them"},
	"ingest/remote":    {nil, "bytes come over the network the same whatever is in them"},
	"export":           {[]string{"registry", "registry/arch", "registry/arch/op", "registry/arch/wrap", "registry/pyjson", "ingest", "ingest/place", "ingest/remote", "accel", "export/disk", "export/compute", "export/receipt", "export/staging", "export/mlxconfig", "export/consumer"}, "export plans from the registry and reads through ingest; a query is for people"},
	"export/compute":   {[]string{"registry/arch", "registry/arch/op", "ingest", "accel", "export/disk"}, "how a tensor is made does not depend on where it goes or what is recorded of it"},
	"export/consumer":  {[]string{"export/mlxconfig", "registry/arch"}, "what a consumer does alike for all families is a table that the plan asks"},
	"export/mlxconfig": {[]string{"ingest", "registry/pyjson", "accel"}, "what mlx_lm makes of a config.json does not depend on the weights beside it"},
	"export/receipt":   {[]string{"registry", "registry/arch/op", "ingest", "export/disk"}, "a proof is checked without the plan that made it"},
	"export/staging":   {[]string{"ingest", "registry/pyjson", "registry/disk", "export/disk", "export/receipt"}, "what lies in a folder is told from its names and journals, whatever plan fills it"},
	"export/disk":      {nil, "files and folders are asked of the system, whatever is in them"},
	"accel":            {nil, "devices compute on bytes and know nothing of checkpoints"},
	"synth":            {[]string{"ingest/safetensors"}, "made checkpoints are written with the reader's own header writer and nothing more"},
	"view":             {[]string{"registry", "registry/arch", "registry/arch/op", "registry/arch/wrap", "registry/block", "registry/pyjson", "query", "export", "export/mlxconfig", "ingest", "accel", "view/measure"}, "what people look at is gathered as data, before anyone decides how it is drawn"},
	"view/measure":     {[]string{"accel", "export/compute", "ingest", "registry/arch", "registry/arch/op"}, "how far numbers are apart is read from bytes, whatever registry or architecture paired them"},
	"view/viewtest":    {[]string{"export", "ingest", "registry", "synth"}, "tests of what people look at have checkpoints as users do"},
	"view/text":        {[]string{"view", "view/words"}, "a terminal draws what was gathered, and asks nothing itself"},
	"web":              {[]string{"view", "view/measure", "registry", "registry/arch", "registry/expr", "query", "export/receipt"}, "a page shows what the command line says; it opens no checkpoint but by view, which measures, and writes nothing"},
	"web/webtest":      {nil, "a browser is driven the same whatever the page"},
	"shell":            {[]string{"registry", "query", "view"}, "the shell edits lines; what they answer is query's"},
	"cmd":              {[]string{"view", "view/text", "view/measure", "web", "shell", "registry", "registry/arch", "registry/arch/op", "registry/arch/wrap", "registry/expr", "query", "ingest", "ingest/remote", "ingest/remote/hubtest", "export", "export/receipt", "export/consumer", "export/staging", "accel", "synth", "registry/disk", "push"}, ""},

	"ingest/remote/hubtest": {nil, "a hub serves files, whatever is in them and whoever asks: tests, and the demo, for which cmd imports it"},

	"registry/block":     {[]string{"registry/codec"}, "a block is bytes: it knows neither files nor transactions"},
	"registry/boltfile":  {nil, "it knows bbolt's pages, and nothing of what a registry keeps in them"},
	"registry/codec":     {nil, "values are read and written the same wherever they lie"},
	"registry/disk":      {nil, "what is asked of the file system does not depend on what a file holds"},
	"registry/hashindex": {nil, "where a hash lies is found without the blocks that decide"},
	"registry/record":    {[]string{"registry/block", "registry/codec"}, "what is kept of a revision is judged without a file at hand"},

	"registry/arch/op":      {nil, "what an operation does to a shape depends on no architecture"},
	"registry/arch/wrap":    {[]string{"registry/pyjson"}, "what names say is told before anything is looked up by them"},
	"registry/arch/archs":   {nil, "the files speak for themselves"},
	"registry/arch/stray":   {[]string{"registry/method"}, "what a name tells, it tells whatever the architecture"},
	"registry/arch/lang":    {[]string{"registry/arch/op", "registry/arch/archs", "registry/expr"}, "a file is parsed before there is a config"},
	"registry/arch/declare": {[]string{"registry/arch/op", "registry/arch/lang", "registry/expr", "registry/pyjson"}, "what is expected is declared before anything is looked for"},
}

// owners says which packages may import each module from outside: one for each
// heavy one, so that replacing it touches one place.
var owners = map[string][]string{
	"go.etcd.io/bbolt":                 {"registry"},
	"github.com/nlpodyssey/gopickle":   {"ingest/torch"},
	"github.com/progrium/darwinkit":    {"accel/metal"},
	"github.com/x448/float16":          {"accel"},
	"github.com/alecthomas/participle": {"registry/expr", "registry/arch/lang", "query/lang"},
	"github.com/zeebo/xxh3":            {"ingest"},
	"github.com/spf13/cobra":           {"cmd"},
	"github.com/spf13/pflag":           {"cmd"},
	"github.com/jedib0t/go-pretty":     {"cmd", "view/text"},
	"golang.org/x/term":                {"cmd"},
	"github.com/reeflective/readline":  {"shell"},
	"golang.org/x/sync":                {"ingest/interrupt", "ingest", "registry/block", "synth", "export"},
	"github.com/chromedp":              {"web/webtest"}, // behind the tag browser: no binary has it
	"oras.land/oras-go":                {"ingest/oci"},
	"github.com/aws/aws-sdk-go-v2":     {"ingest/s3/bucket"},
	"github.com/aws/smithy-go":         {"ingest/s3/bucket"},
	"golang.org/x/sys":                 {"accel", "export", "ingest", "registry", "cmd"},
}

// testOnly may be imported by any test and by nothing else. synth makes the
// checkpoints that tests read; ingest opens them.
var testOnly = []string{
	"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "pgregory.net/rapid", "github.com/owenrumney/go-sarif",
	"wreg/synth", "wreg/ingest", "wreg/accel", "wreg/view/viewtest", "wreg/web/webtest",
}

// maxLines is where a file must be split.
const maxLines = 500

func TestImportsGoOneWay(t *testing.T) {
	eachFile(t, func(path string, src []byte) {
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			return
		}
		for _, spec := range f.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value)
			if why, ok := allowed(dir, imp, strings.HasSuffix(path, "_test.go")); !ok {
				t.Errorf("%s imports %s: %s", path, imp, why)
			}
		}
	})
}

// allowed judges one import of a file in dir; why says what a refusal protects.
func allowed(dir, imp string, test bool) (why string, ok bool) {
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") && first != "wreg" {
		return "", true // standard library
	}
	if test && slices.ContainsFunc(testOnly, func(m string) bool { return below(imp, m) }) {
		return "", true
	}
	if in, own := strings.CutPrefix(imp, "wreg/"); own {
		room := roomOf(dir)
		if room == "" {
			return "the package has no place in rooms; give it one there and in docs/architecture.md", false
		}
		if roomOf(in) == room || in == "registry/tensor" || slices.ContainsFunc(rooms[room].may, func(m string) bool {
			return roomOf(in) == roomOf(m) && below(in, m)
		}) {
			return "", true
		}
		return rooms[room].why, false
	}
	for module, rooms := range owners {
		if below(imp, module) {
			if slices.ContainsFunc(rooms, func(r string) bool { return below(dir, r) }) && dir != "registry/tensor" {
				return "", true
			}
			return "only " + strings.Join(rooms, ", ") + " may, so that replacing it touches one place", false
		}
	}
	return "the module has no owner; add it to owners, or do without it", false
}

// roomOf is the longest key of rooms that dir equals or lies below.
func roomOf(dir string) (room string) {
	for r := range rooms {
		if below(dir, r) && len(r) > len(room) {
			room = r
		}
	}
	return room
}

func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		dir, imp string
		test, ok bool
	}{
		{"ingest", "os", false, true},
		{"ingest", "wreg/registry", false, false},
		{"ingest/torch", "wreg/registry/tensor", false, true},
		{"ingest/torch", "github.com/nlpodyssey/gopickle/pickle", false, true},
		{"ingest", "github.com/nlpodyssey/gopickle/pickle", false, false},
		{"registry", "wreg/registry/arch", false, false},
		{"registry/arch", "wreg/registry", false, false},
		{"registry/arch/declare", "wreg/registry/expr", false, true},
		{"registry/arch/lang", "wreg/registry/arch/declare", false, false},
		{"registry/arch/op", "wreg/registry/arch", false, false},
		{"query", "wreg/export", false, false},
		{"query", "wreg/ingest", false, false},
		{"query", "wreg/registry/arch", false, true},
		{"export", "wreg/query", false, false},
		{"export", "wreg/ingest/safetensors", false, true},
		{"export", "wreg/synth", false, false},
		{"export", "wreg/synth", true, true},
		{"export", "go.etcd.io/bbolt", false, false},
		{"export", "go.etcd.io/bbolt", true, false},
		{"accel/cpu", "github.com/x448/float16", false, true},
		{"accel", "wreg/ingest", false, false},
		{"registry/tensor", "wreg/registry", false, false},
		{"registry/tensor", "golang.org/x/sys/unix", false, false},
		{"synth", "wreg/ingest", false, false},
		{"synth", "wreg/ingest/safetensors", false, true},
		{"cmd/wreg", "wreg/export", false, true},
		{"cmd/wreg", "example.com/unknown", false, false},
		{"helpers", "wreg/export", false, false},
	} {
		if why, ok := allowed(c.dir, c.imp, c.test); ok != c.ok {
			t.Errorf("%s importing %s (test %v): allowed %v, want %v (%s)", c.dir, c.imp, c.test, ok, c.ok, why)
		} else if !ok && why == "" {
			t.Errorf("%s importing %s: refused without saying why", c.dir, c.imp)
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	eachFile(t, func(path string, src []byte) {
		if n := strings.Count(string(src), "\n"); n > maxLines {
			t.Errorf("%s has %d lines; split it by behaviour before it passes %d", path, n, maxLines)
		}
	})
}

// eachFile visits every Go file of the module, whatever its build tags.
func eachFile(t *testing.T, visit func(path string, src []byte)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != "." && (name[0] == '.' || name == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		visit(path, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 10 {
		t.Fatalf("only %d Go files seen: run from the module's root", seen)
	}
}
