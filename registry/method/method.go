// Package method knows how software other than mlx stores a quantized weight: under
// which names its codes, scales, zero points and tables lie. It reads none of them; it
// says whose they are, and which weight they belong to.
//
// Most users need [In] and [Finder.Of], to learn how a weight is stored that is not
// there as floats, and [Weights], to learn which weight a tensor may be a part of.
//
// Invariants: a tensor of floats under the name of a weight is that weight, unless
// tables lie beside it that only packed ones have; no name is taken for a part of a
// weight without a row of the table.
package method

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// Lookup finds a stored tensor by its path.
type Lookup = func(path string) (tensor.Info, bool)

// Finder finds the methods of one checkpoint.
type Finder struct {
	endings map[string]bool // the last segments of all paths
	forms   []*form         // those that can be there
	orders  []string
}

// In looks through the paths of a checkpoint, whose numbers may be left out, for what
// any method leaves there.
func In(paths func(yield func(path string) bool)) *Finder {
	f := &Finder{endings: map[string]bool{}}
	for path := range paths {
		f.endings[path[strings.LastIndexByte(path, '.')+1:]] = true
	}
	for i := range forms {
		if m := &forms[i]; (len(m.codes) == 0 || slices.ContainsFunc(m.codes, f.ends)) && (len(m.marks) == 0 || slices.ContainsFunc(m.marks, f.ends)) {
			f.forms = append(f.forms, m)
		}
	}
	for _, s := range orders {
		if f.ends(s) {
			f.orders = append(f.orders, s)
		}
	}
	return f
}

// ends reports that some tensor is called as a spelling says.
func (f *Finder) ends(spelling string) bool {
	tail := spelling[strings.LastIndexAny(spelling, "./*")+1:]
	if strings.ContainsAny(spelling, "./") && !strings.Contains(spelling, "*") {
		return f.endings[tail]
	}
	for ending := range f.endings {
		if strings.HasSuffix(ending, tail) {
			return true
		}
	}
	return false
}

// Any reports that there is something to find.
func (f *Finder) Any() bool { return len(f.forms) > 0 }

// Stored is a weight in a form that its method left.
type Stored struct {
	Weight string      // its path, as the checkpoint would call it
	Codes  tensor.Info // where its codes lie
	Marks  []tensor.Info
	form   *form
	claim  bool
}

// Of says how the weight of a path is stored. Of plain floats, and where nothing lies,
// ok is false.
func (f *Finder) Of(path string, lookup Lookup) (s Stored, ok bool) {
	for _, m := range f.forms {
		if s, ok = m.at(path, lookup); ok {
			return s, true
		}
	}
	return Stored{}, false
}

// Packed reports that some method stored the weight of a path.
func Packed(path string, lookup Lookup) bool {
	return slices.ContainsFunc(forms, func(m form) bool {
		_, ok := m.at(path, lookup)
		return ok
	})
}

func (m *form) at(path string, lookup Lookup) (Stored, bool) {
	s := Stored{form: m}
	found := false
	at := func(spelling string) (i tensor.Info, ok bool) {
		if name, fits := spell(path, spelling); fits {
			i, ok = lookup(name)
		}
		return i, ok
	}
	codes := m.codes
	if codes == nil {
		codes = []string{""}
	}
	for _, spelling := range codes {
		if s.Codes, found = at(spelling); found {
			s.Weight, _ = weight(s.Codes.Path, spelling)
			break
		}
	}
	if !found || len(m.types) > 0 && !slices.Contains(m.types, s.Codes.DType) {
		return s, false
	}
	for _, spelling := range m.marks {
		if i, ok := at(spelling); ok && (len(m.scale) == 0 || slices.Contains(m.scale, i.DType)) {
			s.Marks = append(s.Marks, i)
		}
	}
	return s, len(m.marks) == 0 || len(s.Marks) > 0
}

// Unread names a part of the weight without which its codes and scales give other
// numbers, and that a reader of those given does not know; "" when there is none.
func (f *Finder) Unread(path string, lookup Lookup, known func(path string) bool) string {
	for _, spelling := range f.orders {
		if name, fits := spell(path, spelling); fits && !known(name) {
			if i, ok := lookup(name); ok {
				return i.Path
			}
		}
	}
	return ""
}

// Name says whose the form is, as config.json says it, where several have it.
func (s *Stored) Name(said string) string {
	by, known := names[strings.ToLower(said)]
	switch list := s.form.by; {
	case len(list) == 1:
		by = list[0]
	case known && slices.Contains(list, by):
	case said != "" && !known:
		by = fmt.Sprintf("%q", said)
	default:
		by = strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
	}
	if s.form.kind != "" {
		by += " " + s.form.kind
	}
	return by
}

// Claimed is a weight of which config.json alone says that a method stored it.
func Claimed(said, weight string, codes tensor.Info) Stored {
	by, known := names[strings.ToLower(said)]
	if !known {
		by = fmt.Sprintf("%q", said)
	}
	return Stored{Weight: weight, Codes: codes, form: &form{by: []string{by}}, claim: true}
}

// IsClaim reports that no name of a tensor bears the method out.
func (s *Stored) IsClaim() bool { return s.claim }

// Mine reports that the form is, or may be, of a method.
func (s *Stored) Mine(said string) bool { return slices.Contains(s.form.by, names[said]) }

// Detail says how many bits a number takes and what shares a scale, as far as the
// shapes tell it.
func (s *Stored) Detail(shape tensor.Shape, lookup Lookup) string {
	n := numel(shape)
	if n <= 0 || s.Codes.DType.Float() || s.Codes.Bytes <= 0 || s.Codes.Bytes > n || s.Codes.Bytes*8%n != 0 {
		return ""
	}
	detail := fmt.Sprintf("%d bits", s.Codes.Bytes*8/n)
	for _, spelling := range []string{"_scale", "/scales", "._scale", "/SCB"} {
		name, fits := spell(s.Weight, spelling)
		if !fits {
			continue
		}
		scale, ok := lookup(name)
		if !ok {
			continue
		}
		switch in, each := shape[len(shape)-1], n/max(1, numel(scale.Shape)); {
		case each == n:
			return detail + ", one scale"
		case each == in:
			return detail + ", a scale a row"
		case each > 1 && in%each == 0:
			return detail + fmt.Sprintf(" in groups of %d", each)
		}
	}
	return detail
}

func numel(s tensor.Shape) int64 {
	n, err := s.Numel()
	if err != nil {
		return 0
	}
	return n
}

// Use is what the name of a tensor says of what it is for.
type Use uint8

// From what says most to what says least.
const (
	Weight     Use = iota // a part of a packed weight has it, and nothing else
	Other                 // others use it as well
	Activation            // it is about what goes through the weight, and changes no value of it
)

// Part is a weight that a tensor may belong to.
type Part struct {
	Weight string
	Use    Use
}

// Weights lists the weights that a tensor may belong to, by its name alone.
func Weights(path string) (list []Part) {
	for _, from := range [][]spelled{spellings[path[strings.LastIndexByte(path, '.')+1:]], spellings[""]} {
		for _, s := range from {
			w, ok := weight(path, s.spelling)
			if !ok {
				continue
			}
			p := Part{w, s.use}
			switch named := w == "weight" || strings.HasSuffix(w, ".weight"); {
			case s.spelling[0] == '/' || s.use == Activation:
			case named: // what follows the name of a weight is no one else's
				p.Use = Weight
			case s.spelling[0] == '_' && !slices.Contains(stacked, s.spelling):
				p.Use = Other
			}
			list = append(list, p)
		}
	}
	for _, c := range caches {
		if attention, ok := strings.CutSuffix(path, "."+c.scale); ok {
			for _, p := range c.of {
				list = append(list, Part{attention + "." + p + ".weight", Activation})
			}
		}
	}
	return list
}

type spelled struct {
	spelling string
	use      Use
}

// spellings are all of the table by the last segment of what they spell, "" where that
// is open.
var spellings = func() map[string][]spelled {
	all := map[string]Use{}
	add := func(list []string, use Use) {
		for _, s := range list {
			u := use
			if slices.Contains(generic, s) {
				u = max(u, Other)
			}
			if known, ok := all[s]; s != "" && (!ok || u < known) {
				all[s] = u
			}
		}
	}
	for i := range forms {
		m := &forms[i]
		alone := Weight
		if len(m.marks) > 0 && len(m.codes) > 0 { // only together they are no one else's
			alone = Other
		}
		add(m.codes, alone)
		add(m.marks, alone)
		add(m.parts, Weight)
		add(m.loose, Other)
	}
	for _, s := range activations {
		all[s] = Activation
	}
	by := map[string][]spelled{}
	for s, use := range all {
		last := ""
		if k := strings.LastIndexAny(s, "./"); k >= 0 && !strings.Contains(s, "*") {
			last = s[k+1:]
		}
		by[last] = append(by[last], spelled{s, use})
	}
	return by
}()

// generic are marks whose names others use as well.
var generic = []string{"/scale", "/scales", "/tables", "/tables2"}

// stacked are endings that only parts of packed stacks have, which are not called weight.
var stacked = []string{"_blocks", "_scales"}

// caches are the scales of a cache, which lie beside the layers that fill it.
var caches = []struct {
	scale string
	of    []string
}{
	{"k_scale", []string{"k_proj", "qkv_proj", "query_key_value"}},
	{"v_scale", []string{"v_proj", "qkv_proj", "query_key_value"}},
	{"q_scale", []string{"q_proj", "qkv_proj", "query_key_value"}},
	{"kv_scale", []string{"k_proj", "qkv_proj", "query_key_value", "kv_b_proj"}},
	{"prob_scale", []string{"q_proj", "qkv_proj", "query_key_value", "q_b_proj"}},
}

// spell gives the path that a spelling means beside that of a weight.
func spell(path, spelling string) (string, bool) {
	beside, ok := strings.CutPrefix(spelling, "/")
	if !ok {
		return path + spelling, true
	}
	dot := strings.LastIndexByte(path, '.') + 1
	if before, after, star := strings.Cut(beside, "*"); star && after != "" {
		return path[:dot] + before + path[dot:] + after, true
	}
	return path[:dot] + beside, path[dot:] == "weight"
}

// weight is the way back from what spell gives; a * at the end stands for anything.
func weight(path, spelling string) (string, bool) {
	beside, ok := strings.CutPrefix(spelling, "/")
	if open, any := strings.CutSuffix(spelling, "*"); any {
		if ok {
			open = "." + open[1:]
		}
		k := strings.Index(path, open)
		if k < 0 {
			return "", false
		}
		if ok {
			return path[:k] + ".weight", true
		}
		return path[:k], k > 0
	}
	if !ok {
		w, ok := strings.CutSuffix(path, spelling)
		return w, ok && w != "" && w[len(w)-1] != '.'
	}
	if before, after, star := strings.Cut(beside, "*"); star {
		dot := strings.LastIndexByte(path, '.') + 1
		last, ok := strings.CutPrefix(path[dot:], before)
		last, too := strings.CutSuffix(last, after)
		if !ok || !too || last == "" {
			return "", false
		}
		return path[:dot] + last, true
	}
	at, ok := strings.CutSuffix(path, beside)
	if !ok || at != "" && !strings.HasSuffix(at, ".") {
		return "", false
	}
	return at + "weight", true
}
