package metal

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	// Nothing of darwinkit is built here. This package of it needs no Mac, and
	// importing it makes the module present wherever these tests run.
	_ "github.com/progrium/darwinkit/kernel"
)

const darwinkit = "github.com/progrium/darwinkit/"

// TestDarwinFiles type-checks the files that are built on a Mac only, against the
// sources of darwinkit, and looks for the calls that it does not survive.
func TestDarwinFiles(t *testing.T) {
	c := newChecker(t)
	file, err := os.ReadFile("gpu_darwin.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range c.faults(t, string(file)) {
		t.Error(fault)
	}
	for _, m := range []string{ // seen to panic: the pass must not be blind to them
		"ComputeCommandEncoderObject.SetComputePipelineState", "ComputeCommandEncoderObject.SetBufferOffsetAtIndex_", "DeviceObject.NewComputePipelineStateWithFunctionError",
	} {
		if !c.wrapped[m] {
			t.Errorf("%s is not known to wrap a protocol", m)
		}
	}
	const call = "objc.Call[objc.Void](encoder, objc.Sel(\"setComputePipelineState:\"), pipeline)"
	const commit = "commands.Commit()"
	for name, change := range map[string][3]string{
		"a wrong type":               {"uint(0), uint(i))", `uint(0), uint("i"))`, "cannot convert"},
		"a method there is none of":  {commit, "commands.CommitNow()", "CommitNow undefined"},
		"an unused variable":         {commit, "x := 1; " + commit, "declared and not used"},
		"a missing argument":         {"systemDevice()\n\tif", "systemDevice(1)\n\tif", "too many arguments"},
		"a wrapped protocol":         {call, "encoder.SetComputePipelineState(pipeline)", "always panics"},
		"a narrow result":            {commit, commit + "; _ = a.device.HasUnifiedMemory()", "narrower"},
		"a narrow result of Call":    {commit, commit + `; _ = objc.Call[int32](a.device, objc.Sel("registryID"))`, "narrower"},
		"a block":                    {commit, "commands.AddCompletedHandler(func(mtl.CommandBufferObject) {}); " + commit, "block"},
		"a nil block":                {commit, "commands.AddCompletedHandler(nil); " + commit, "block"},
		"objc.Retain":                {commit, "objc.Retain(&a.device); " + commit, "over-retains"},
		"a second goroutine":         {commit, "go " + commit, "goroutine"},
		"an unlocked thread":         {"runtime.LockOSThread()\n", "", "LockOSThread"},
		"no ballast":                 {"withBallast(func() {", "func(f func()) { f() }(func() {", "ballast"},
		"more of C":                  {commit, commit + "; C.free(nil)", "C is not checked"},
		"a panic through the pool":   {"if r := recover(); r != nil {", "if r := any(nil); r != nil {", "recover"},
		"no wait":                    {"commands.WaitUntilCompleted()\n", "", "WaitUntilCompleted"},
		"fast math":                  {"options.SetFastMathEnabled(false)\n", "", "SetFastMathEnabled"},
		"fast math, after all":       {"SetFastMathEnabled(false)", "SetFastMathEnabled(true)", "fast math changes bytes"},
		"a leak":                     {"function.Release()\n", "", "Release"},
		"results left behind":        {"j.copyOut(a.contents)\n", "", "copyOut"},
		"a call outside of the pool": {"return newDevice(a), nil", "a.queue.CommandBuffer()\n\treturn newDevice(a), nil", "Open"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(file), change[0]) {
				t.Fatalf("the file does not have %q", change[0])
			}
			faults := c.faults(t, strings.Replace(string(file), change[0], change[1], 1))
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, change[2]) }) {
				t.Errorf("no fault says %q: %q", change[2], faults)
			}
		})
	}
}

// checker has the packages that the darwin files import, typed.
type checker struct {
	fset    *token.FileSet
	typed   map[string]*types.Package
	wrapped map[string]bool // methods of darwinkit's package metal that wrap a protocol
	others  []string        // the package's files that every system builds
}

// newChecker lists the packages as for a Mac and type-checks all from source.
// Nothing is downloaded: what the build needs is in the module cache.
func newChecker(t *testing.T) *checker {
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,ImportPath,GoFiles,CgoFiles,ImportMap", ".")
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=1", "GOPROXY=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	c := &checker{fset: token.NewFileSet(), typed: map[string]*types.Package{"unsafe": types.Unsafe}, wrapped: map[string]bool{}}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir, ImportPath   string
			GoFiles, CgoFiles []string
			ImportMap         map[string]string
		}
		if err := decoder.Decode(&p); err == io.EOF {
			return c
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		if p.ImportPath == "wreg/accel/metal" {
			c.others = p.GoFiles
			continue
		}
		var files []*ast.File
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if p.ImportPath == darwinkit+"macos/metal" {
			c.findWrapped(files)
		}
		config := types.Config{Importer: c.importing(p.ImportMap), FakeImportC: true, IgnoreFuncBodies: true, Error: func(error) {}, Sizes: types.SizesFor("gc", "arm64")}
		c.typed[p.ImportPath], _ = config.Check(p.ImportPath, c.fset, files, nil)
	}
}

type importer func(path string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }

func (c *checker) importing(renamed map[string]string) types.Importer {
	return importer(func(path string) (*types.Package, error) {
		if to, ok := renamed[path]; ok {
			path = to
		}
		if p := c.typed[path]; p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("package %s is not there", path)
	})
}

// findWrapped notes the methods that hand a struct to WrapAsProtocol: always a
// panic.
func (c *checker) findWrapped(files []*ast.File) {
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "WrapAsProtocol" {
					c.wrapped[types.ExprString(fn.Recv.List[0].Type)+"."+fn.Name.Name] = true
				}
				return true
			})
		}
	}
}

// faults type-checks the package with text as its darwin file, and runs the trap
// pass over it.
func (c *checker) faults(t *testing.T, text string) (faults []string) {
	t.Helper()
	if len(c.wrapped) < 100 {
		t.Fatalf("%d methods of darwinkit wrap a protocol; there were 210", len(c.wrapped))
	}
	darwin, err := parser.ParseFile(c.fset, "gpu_darwin.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	files := []*ast.File{darwin}
	for _, name := range c.others {
		f, err := parser.ParseFile(c.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	config := types.Config{Importer: c.importing(nil), FakeImportC: true, Sizes: types.SizesFor("gc", "arm64"), Error: func(err error) { faults = append(faults, err.Error()) }}
	config.Check("wreg/accel/metal", c.fset, files, info)
	pass := &pass{checker: c, info: info, sizes: config.Sizes, report: func(n ast.Node, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s: %s", c.fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
	}}
	pass.file(darwin)
	return faults
}

// pass looks for the traps in one file.
type pass struct {
	*checker
	info   *types.Info
	sizes  types.Sizes
	report func(n ast.Node, format string, args ...any)
	seen   map[string]int // calls by name, goroutines, uses of C
}

// serving are the functions that run on the locked thread, inside a pool. Only they
// may call darwinkit.
var serving = []string{"pooled", "setUp", "launch", "reserve", "contents", "release", "text"}

func (p *pass) file(f *ast.File) {
	p.seen = map[string]int{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				p.seen["go"]++
				if fn.Name.Name != "Open" {
					p.report(n, "a second goroutine would call Metal from another thread")
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "C" {
					p.seen["C"]++
				}
			case *ast.CallExpr:
				p.call(fn.Name.Name, n)
			}
			return true
		})
	}
	for name, want := range map[string]int{
		"go": 1, "C": 1, "LockOSThread": 1, "withBallast": 1, "recover": 1,
		"SetFastMathEnabled": 1, "Commit": 1, "WaitUntilCompleted": 1, "copyIn": 1, "copyOut": 1,
		"Release": 5, // of a buffer that is replaced, of one at the end, of functions, pipelines, the rest
	} {
		switch got := p.seen[name]; {
		case got == want:
		case name == "C":
			p.report(f, "%d uses of C, want 1: C is not checked here", got)
		case name == "withBallast":
			p.report(f, "serve runs without ballast: its stack may move during a call")
		case name == "go":
			p.report(f, "%d go statements, want 1 goroutine", got)
		default:
			p.report(f, "%s is called %d times, want %d", name, got, want)
		}
	}
}

func (p *pass) call(in string, call *ast.CallExpr) {
	fun := ast.Unparen(call.Fun)
	if i, ok := fun.(*ast.IndexExpr); ok { // objc.Call[T]
		fun = i.X
	}
	var id *ast.Ident
	switch f := fun.(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return
	}
	p.seen[id.Name]++
	fn, ok := p.info.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil || !strings.HasPrefix(fn.Pkg().Path(), darwinkit) {
		return
	}
	if !slices.Contains(serving, in) {
		p.report(call, "%s calls darwinkit: only %v run on its thread, in a pool", in, serving)
	}
	if fn.Name() == "SetFastMathEnabled" && types.ExprString(call.Args[0]) != "false" {
		p.report(call, "fast math changes bytes")
	}
	if fn.Name() == "Retain" {
		p.report(call, "Retain over-retains")
	}
	signature := fn.Type().(*types.Signature)
	if r := signature.Recv(); r != nil {
		named := r.Type()
		if pointer, ok := named.(*types.Pointer); ok {
			named = pointer.Elem()
		}
		if n, ok := named.(*types.Named); ok && p.wrapped[n.Obj().Name()+"."+fn.Name()] {
			p.report(call, "%s always panics: it wraps a protocol; send the message with objc.Call", fn.Name())
		}
	}
	if t := p.info.TypeOf(call); t != nil {
		if b, ok := t.Underlying().(*types.Basic); ok && b.Info()&(types.IsBoolean|types.IsNumeric) != 0 && p.sizes.Sizeof(t) < 8 && fn.Name() != "IsNil" {
			p.report(call, "%s gives %v, narrower than the 8 bytes that are written", fn.Name(), t)
		}
	}
	for i := range signature.Params().Len() {
		_, block := signature.Params().At(i).Type().Underlying().(*types.Signature)
		if block && fn.Name() != "WithAutoreleasePool" {
			p.report(call, "%s takes a block, nil too: blocks abort", fn.Name())
		}
	}
}
