package tensor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Naming says how the names that a checkpoint's files have become those of its
// tensors: Strip is taken off, Add is put before what is left. The zero value leaves
// names as they are.
//
// A name that does not begin with Strip is no part of the model and left out (an
// optimizer's states beside state_dict.), but for those of heads, which training code
// keeps beside what it wraps, and those that are called as the others are then, where only
// some modules were wrapped. Segments that only wrap are taken out of every name.
type Naming struct{ Strip, Add string }

// wrappers are the segments that training tools put into names, in front or inside.
var wrappers = []string{"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_fpw_module"}

// OtherHeads are the heads of models that answer with something else than tokens.
var OtherHeads = []string{"score", "classifier", "classification_head", "qa_outputs", "v_head", "value_head", "reward_head", "rank_head", "regression_head", "regression_layer"}

// heads are what models have beside the decoder or encoder that their prefix names.
var heads = append([]string{"lm_head", "embed_out", "cls", "pooler"}, OtherHeads...)

// OptimizerState matches the names of what optimizers keep beside each weight.
var OptimizerState = regexp.MustCompile(`(?i)(^|\.)[^.]*optim(izer[^.]*|\d*(_[^.]*)?)(\.|$)|(^|\.)((max_)?exp_avg(_sq)?|momentum_buffer|square_avg)(\.|$)`)

// Unwrapped is a path without the segments that only wrap.
func Unwrapped(path string) string {
	if !strings.Contains(path, "_") || !slices.ContainsFunc(wrappers, func(w string) bool { return strings.Contains(path, w) }) {
		return path
	}
	segments := strings.Split(path, ".")
	return strings.Join(slices.DeleteFunc(segments, func(s string) bool { return slices.Contains(wrappers, s) }), ".")
}

// IsZero reports that names stay as they are.
func (n Naming) IsZero() bool { return n == Naming{} }

// Flags are the flags of the command line that ask for it.
func (n Naming) Flags() string {
	var flags []string
	for _, f := range [][2]string{{"--strip ", n.Strip}, {"--add ", n.Add}} {
		if f[1] != "" {
			flags = append(flags, f[0]+ShellWord(f[1]))
		}
	}
	return strings.Join(flags, " ")
}

// ShellWord is a text as a shell takes it for one word, on one line.
func ShellWord(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		var b strings.Builder
		b.WriteString("$'")
		for i := range len(s) {
			switch c := s[i]; {
			case c == '\n':
				b.WriteString(`\n`)
			case c == '\t':
				b.WriteString(`\t`)
			case c < ' ' || c == 0x7f:
				fmt.Fprintf(&b, `\x%02x`, c)
			case c == '\'' || c == '\\':
				b.WriteString(`\` + string(rune(c)))
			default:
				b.WriteByte(c)
			}
		}
		return b.String() + "'"
	}
	if s == "" || strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-/:@", c))
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// Whole gives both prefixes the dot at their end that makes them whole segments.
func (n Naming) Whole() Naming {
	dotted := func(s string) string {
		if s == "" || strings.HasSuffix(s, ".") {
			return s
		}
		return s + "."
	}
	return Naming{dotted(n.Strip), dotted(n.Add)}
}

// Inside reports that Strip is of segments that only wrap: these are looked for in
// the whole of a name, and no name is left out for lacking them.
func (n Naming) Inside() bool { return n.Strip != "" && Unwrapped(n.Strip) == "" }

// Name is what a path becomes, whatever others there are; ok is false where it is left out.
func (n Naming) Name(path string) (name string, ok bool) {
	if n.IsZero() {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, n.Strip)
	rest = Unwrapped(rest)
	head := slices.Contains(heads, firstSegment(rest))
	if !ok && !head && !n.Inside() || rest == "" {
		return "", false
	}
	if head || strings.HasPrefix(rest, n.Add) {
		return rest, true
	}
	return n.Add + rest, true
}

// Renamed are the tensors of a list under the names that n gives them, sorted, and
// where each was in the list; left are those that are left out. It is an error when
// nothing begins with Strip, all begin with Add without it, or two tensors get one name.
func (n Naming) Renamed(list List) (renamed List, from []int, left List, err error) {
	found, added := n.Strip == "", n.Add == "" || len(list) == 0
	var outside []int
	for i := range list {
		path := list[i].Path
		found = found || strings.HasPrefix(path, n.Strip) || n.Inside() && Unwrapped(path) != path
		name, ok := n.Name(path)
		if !ok || !n.Inside() && !strings.HasPrefix(path, n.Strip) {
			outside = append(outside, i)
			continue
		}
		if !added {
			bare, _ := Naming{Strip: n.Strip}.Name(path)
			added = name != Unwrapped(bare)
		}
		t := list[i]
		t.Path = name
		renamed, from = append(renamed, t), append(from, i)
	}
	if !found {
		return nil, nil, nil, n.absent(list)
	}
	if !added {
		return nil, nil, nil, fmt.Errorf("--add %s: every tensor's name begins with it already; leave it out", n.Add)
	}
	if len(outside) > 0 {
		stays := staying(list, outside, renamed)
		for _, i := range outside {
			t := list[i]
			if t.Path = Unwrapped(t.Path); !stays[firstSegment(t.Path)] {
				left = append(left, list[i])
				continue
			}
			renamed, from = append(renamed, t), append(from, i)
		}
	}
	order := make([]int, len(renamed))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(renamed[a].Path, renamed[b].Path) })
	sorted, places := make(List, len(order)), make([]int, len(order))
	for i, k := range order {
		sorted[i], places[i] = renamed[k], from[k]
		if i > 0 && sorted[i].Path == sorted[i-1].Path {
			return nil, nil, nil, fmt.Errorf("with %s two tensors get the name %q: %q and %q", n.Flags(), sorted[i].Path, list[places[i-1]].Path, list[places[i]].Path)
		}
	}
	return sorted, places, left, nil
}

// staying are the first segments of the tensors outside of a prefix that stay: heads, and
// those of tensors inside of it, unless one is there twice then, as where it is of a second
// set of weights.
func staying(list List, outside []int, renamed List) map[string]bool {
	taken, stays := make(map[string]bool, len(renamed)), map[string]bool{}
	for _, head := range heads {
		stays[head] = true
	}
	for i := range renamed {
		taken[renamed[i].Path] = true
		stays[firstSegment(renamed[i].Path)] = true
	}
	for _, i := range outside {
		if name := Unwrapped(list[i].Path); taken[name] {
			stays[firstSegment(name)] = false
		}
	}
	return stays
}

func firstSegment(path string) string {
	first, _, _ := strings.Cut(path, ".")
	return first
}

// maxPrefixes bounds the prefixes that one which is not there is compared with.
const maxPrefixes = 1 << 10

// absent says that no tensor begins with Strip, and what nearly does.
func (n Naming) absent(list List) error {
	var prefixes []string
	seen := map[string]bool{}
	for i := range list {
		for end, c := range list[i].Path {
			if p := list[i].Path[:end+1]; c == '.' && !seen[p] && len(seen) < maxPrefixes {
				seen[p] = true
				prefixes = append(prefixes, p)
			}
		}
	}
	text := ""
	for _, near := range Nearest(prefixes, 1, func(p string) int {
		if d := EditDistance(p, n.Strip); d <= 1+len(n.Strip)/3 {
			return d
		}
		return -1
	}) {
		text = fmt.Sprintf("; did you mean %s?", near)
	}
	if text == "" && len(list) > 0 {
		text = fmt.Sprintf("; the first of %d is %q", len(list), list[0].Path)
	}
	return fmt.Errorf("--strip %s: no tensor's name begins with it%s", n.Strip, text)
}
