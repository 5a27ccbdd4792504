package arch

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"wreg/registry/tensor"
)

//go:embed archs/*.arch archs/blocks/*.arch
var embedded embed.FS

// library knows which embedded file holds which architecture or block. Files are
// parsed when they are needed: a query needs one of a hundred.
type library struct {
	arch   map[string]string // name or alias → file
	names  []string
	blocks map[string]string
	parsed sync.Map // file → *file
}

var lib = sync.OnceValue(func() *library {
	l := &library{arch: map[string]string{}, blocks: map[string]string{}}
	for _, dir := range []string{"archs", "archs/blocks"} {
		entries, err := embedded.ReadDir(dir)
		if err != nil {
			panic(err) // the embedded tree is part of the program
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			file := path.Join(dir, e.Name())
			text, err := embedded.ReadFile(file)
			if err != nil {
				panic(err)
			}
			l.scan(file, string(text))
		}
	}
	sort.Strings(l.names)
	return l
})

// scan finds the arch line and the block lines without parsing the rest.
func (l *library) scan(file, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "arch "); ok {
			rest, _, _ = strings.Cut(rest, "#")
			for i, name := range strings.Split(rest, ",") {
				name = strings.TrimSpace(name)
				l.arch[name] = file
				if i == 0 {
					l.names = append(l.names, name)
				}
			}
		} else if rest, ok := strings.CutPrefix(line, "block "); ok {
			name, _, _ := strings.Cut(rest, "(")
			l.blocks[strings.TrimSpace(name)] = file
		}
	}
}

// parse gives an embedded file, parsed once.
func (l *library) parse(name string) (*file, error) {
	if f, ok := l.parsed.Load(name); ok {
		return f.(*file), nil
	}
	text, err := embedded.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := parse(path.Base(name), string(text))
	if err != nil {
		return nil, err
	}
	l.parsed.Store(name, f)
	return f, nil
}

// block finds an embedded block by its name.
func (l *library) block(name string) (*block, error) {
	file, ok := l.blocks[name]
	if !ok {
		return nil, nil
	}
	f, err := l.parse(file)
	if err != nil {
		return nil, err
	}
	for _, s := range f.Body {
		if s.Block != nil && s.Block.Name == name {
			return s.Block, nil
		}
	}
	return nil, nil
}

// ByName gives an embedded architecture by its name or alias.
func ByName(name string) (*Arch, error) {
	l := lib()
	file, ok := l.arch[name]
	if !ok {
		return nil, &UnknownError{ModelType: name, Nearest: nearest(name, l.arch)}
	}
	f, err := l.parse(file)
	if err != nil {
		return nil, err
	}
	return &Arch{Name: f.Names[0], Aliases: f.Names[1:], File: path.Base(file), file: f}, nil
}

// Find gives the architecture that serves a config's model_type, mlx_lm's
// renames included. Unknown: an *UnknownError naming the nearest.
func Find(c *Config) (*Arch, error) {
	name := c.ModelType()
	if name == "bailing_hybrid" { // the one rename that also asks for the class
		if v, ok := c.root.get("architectures"); ok {
			items, _ := v.Items()
			for _, item := range items {
				if class, _ := item.Text(); class == "BailingMoeV3ForCausalLM" {
					name = "bailing_moe_v3"
				}
			}
		}
	}
	return ByName(name)
}

// Names lists the embedded architectures, sorted, without their aliases.
func Names() []string { return slices.Clone(lib().names) }

// Parse reads an architecture from text (for --arch FILE); errors have line,
// column and caret.
func Parse(file, text string) (*Arch, error) {
	f, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	if len(f.Names) == 0 {
		return nil, fmt.Errorf("%s: no architecture: the file begins with arch NAME, ALIAS…", file)
	}
	a := &Arch{Name: f.Names[0], Aliases: f.Names[1:], File: file, file: f}
	if err := a.static(); err != nil {
		return nil, err
	}
	return a, nil
}

// UnknownError says which model_type has no architecture, and what is near.
type UnknownError struct {
	ModelType string
	Nearest   []string
}

func (e *UnknownError) Error() string {
	if e.ModelType == "" {
		return "config.json has no model_type; name the architecture, or describe it in an .arch file (--arch FILE)"
	}
	near := ""
	if len(e.Nearest) > 0 {
		near = "; the nearest known are " + strings.Join(e.Nearest, ", ")
	}
	return fmt.Sprintf("no architecture serves model_type %q%s; describe it in an .arch file (--arch FILE)", e.ModelType, near)
}

// maxNearest is how many names an UnknownError suggests.
const maxNearest = 3

// nearest sorts names by edit distance and keeps those that share at least half.
func nearest(name string, known map[string]string) []string {
	if len(name) > 64 {
		return nil
	}
	type near struct {
		name     string
		distance int
	}
	var all []near
	for k := range known {
		d := tensor.EditDistance(name, k)
		if strings.HasPrefix(k, name) || strings.HasPrefix(name, k) {
			d = min(d, 1)
		}
		if 2*d <= max(len(name), len(k)) {
			all = append(all, near{k, d})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].distance != all[j].distance {
			return all[i].distance < all[j].distance
		}
		return all[i].name < all[j].name
	})
	var names []string
	for _, n := range all[:min(len(all), maxNearest)] {
		names = append(names, n.name)
	}
	return names
}
