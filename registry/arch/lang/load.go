package lang

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"wreg/registry/arch/archs"
	"wreg/registry/tensor"
)

// library knows which embedded file holds which architecture or block. Files are
// parsed when they are needed: a query needs one of a hundred.
type library struct {
	arch   map[string]map[string]string // layout → name or alias → file
	gguf   map[string]string            // name or alias → file, of files for llama.cpp's names
	names  map[string][]string          // by layout
	blocks map[string]string
	parsed sync.Map // file → *Arch
}

// vlmDir holds the architectures that make layout mlx-vlm.
const vlmDir = MLXVLM

// ggufDir holds the architectures for llama.cpp's names.
const ggufDir = "gguf"

var lib = sync.OnceValue(func() *library {
	l := &library{arch: map[string]map[string]string{}, gguf: map[string]string{}, names: map[string][]string{}, blocks: map[string]string{}}
	for _, layout := range Layouts {
		l.arch[layout] = map[string]string{}
	}
	for _, dir := range []string{".", "blocks", ggufDir, vlmDir} {
		entries, err := archs.Files.ReadDir(dir)
		if err != nil {
			panic(err) // the embedded tree is part of the program
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			file := path.Join(dir, e.Name())
			text, err := archs.Files.ReadFile(file)
			if err != nil {
				panic(err)
			}
			l.scan(file, string(text))
		}
	}
	for _, names := range l.names {
		sort.Strings(names)
	}
	return l
})

// scan finds the arch line and the block lines without parsing the rest.
func (l *library) scan(file, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "arch "); ok {
			rest, _, _ = strings.Cut(rest, "#")
			rest, layout, as := strings.Cut(rest, " as ")
			if layout = strings.TrimSpace(layout); !as {
				layout = MLX
			}
			for i, name := range strings.Split(rest, ",") {
				name = strings.TrimSpace(name)
				if path.Dir(file) == ggufDir {
					l.gguf[name] = file
					continue
				}
				l.arch[layout][name] = file
				if i == 0 {
					l.names[layout] = append(l.names[layout], name)
				}
			}
		} else if dir := path.Dir(file); dir == ggufDir || dir == vlmDir { // its blocks are its own
		} else if rest, ok := strings.CutPrefix(line, "block "); ok {
			name, _, _ := strings.Cut(rest, "(")
			l.blocks[strings.TrimSpace(name)] = file
		}
	}
}

// parse gives an embedded file, parsed once.
func (l *library) parse(name string) (*Arch, error) {
	if a, ok := l.parsed.Load(name); ok {
		return a.(*Arch), nil
	}
	text, err := archs.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	a, err := parse(strings.TrimPrefix(name, "blocks/"), string(text))
	if err != nil {
		return nil, err
	}
	first, _ := l.parsed.LoadOrStore(name, a)
	return first.(*Arch), nil
}

// block finds an embedded block by its name.
func (l *library) block(name string) (*Block, error) {
	file, ok := l.blocks[name]
	if !ok {
		return nil, nil
	}
	a, err := l.parse(file)
	if err != nil {
		return nil, err
	}
	return a.own(name), nil
}

// own is the block of that name in the file itself.
func (a *Arch) own(name string) *Block {
	for _, s := range a.Body {
		if s.Block != nil && s.Block.Name == name {
			return s.Block
		}
	}
	return nil
}

// Block finds a block in the architecture's own file, then among the embedded; nil
// when there is none.
func (a *Arch) Block(name string) (*Block, error) {
	if b := a.own(name); b != nil {
		return b, nil
	}
	return lib().block(name)
}

// ByName gives an embedded architecture of layout mlx by its name or alias.
func ByName(name string) (*Arch, error) { return ByNameIn(MLX, name) }

// ByNameIn is ByName for the architectures that make a layout.
func ByNameIn(layout, name string) (*Arch, error) {
	l := lib()
	file, ok := l.arch[layout][name]
	if ok {
		return l.parse(file)
	}
	e := &UnknownError{ModelType: name, Layout: layout, Nearest: nearest(name, l.arch[layout])}
	for _, other := range Layouts {
		if _, ok := l.arch[other][name]; ok {
			e.Serves = append(e.Serves, other)
		}
	}
	return nil, e
}

// ByLlamaCpp gives the embedded architecture for checkpoints of a model_type whose
// tensors have llama.cpp's names; known are the model_types that have one.
func ByLlamaCpp(name string) (a *Arch, known []string, err error) {
	l := lib()
	if file, ok := l.gguf[name]; ok {
		a, err = l.parse(file)
		return a, nil, err
	}
	return nil, slices.Sorted(maps.Keys(l.gguf)), nil
}

// Names lists the embedded architectures that make a layout, sorted, without their aliases.
func Names(layout string) []string { return slices.Clone(lib().names[layout]) }

// Parse reads an architecture from text (for --arch FILE); errors have line,
// column and caret.
func Parse(file, text string) (*Arch, error) {
	a, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	if a.Name == "" {
		return nil, fmt.Errorf("%s: not an architecture: the file begins with arch NAME, ALIAS…", file)
	}
	if err := a.static(); err != nil {
		return nil, err
	}
	return a, nil
}

// UnknownError says which model_type has no architecture, and what is near.
type UnknownError struct {
	ModelType string
	Layout    string   // the one that was wanted
	Nearest   []string // that are served in it
	Serves    []string // the other layouts that this very one is served in
}

func (e *UnknownError) Error() string {
	if e.ModelType == "" {
		return "config.json has no model_type; name the architecture, or describe it in an .arch file (--arch FILE)"
	}
	if len(e.Serves) > 0 {
		return fmt.Sprintf("no architecture serves model_type %q in layout %s; layout %s has one", e.ModelType, e.Layout, strings.Join(e.Serves, " and "))
	}
	near := ""
	if len(e.Nearest) > 0 {
		near = "; the nearest known are " + strings.Join(e.Nearest, ", ")
	}
	return fmt.Sprintf("no architecture serves model_type %q%s; describe it in an .arch file (--arch FILE)", e.ModelType, near)
}

// maxNearest is how many names an UnknownError suggests.
const maxNearest = 3

// nearest lists the names that share at least half with a name.
func nearest(name string, known map[string]string) []string {
	if len(name) > 64 {
		return nil
	}
	return tensor.Nearest(slices.Sorted(maps.Keys(known)), maxNearest, func(k string) int {
		d := tensor.EditDistance(name, k)
		if strings.HasPrefix(k, name) || strings.HasPrefix(name, k) {
			d = min(d, 1)
		}
		if 2*d > max(len(name), len(k)) {
			return -1
		}
		return d
	})
}
