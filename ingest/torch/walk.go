package torch

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"wreg/ingest/torch/pickle"
)

// The bounds of a walk: values may be shared, so that a small pickle holds more
// paths than there are atoms.
const (
	maxDepth     = 200
	visitsPerOp  = 4
	freeVisits   = 1000
	maxPathBytes = 64 << 10
)

// found is a tensor and the keys that lead to it: strings, ints, and whatever
// else Python takes as a key.
type found struct {
	keys []any
	view *view
}

// walker finds the tensors of a pickled value.
type walker struct {
	visits int64 // left
	bytes  int64 // of paths, left
	path   []any
	length int
	on     map[any]bool // containers above, by identity: one below itself is a cycle
	found  []found
	bare   []string // storages that no tensor looks at
}

var errVisits = errors.New("its values are shared so often that their paths cannot be listed")

func (w *walker) walk(v any) error {
	if w.visits--; w.visits < 0 || w.bytes < 0 {
		return errVisits
	}
	switch v := v.(type) {
	case *view:
		w.bytes -= int64(w.length + 1)
		w.found = append(w.found, found{keys: append([]any(nil), w.path...), view: v})
	case *storage:
		w.bytes -= int64(w.length + 1)
		w.bare = append(w.bare, join(w.path))
	case *attributed:
		return w.inside(v, func() error {
			if err := w.walk(v.value); err != nil {
				return err
			}
			return w.state(v.state)
		})
	case *parts:
		return w.inside(v, func() error {
			for i, name := range v.names {
				if err := w.below(name, v.values[i]); err != nil {
					return err
				}
			}
			return nil
		})
	case *pickle.Dict:
		return w.inside(v, func() error { return w.pairs(*v) })
	case *pickle.List:
		return w.inside(v, func() error { return w.list(*v) })
	case *pickle.Tuple:
		return w.inside(v, func() error { return w.list(*v) })
	case *pickle.Object:
		return w.inside(v, func() error { return w.object(v) })
	}
	return nil
}

// inside walks a container, unless it is inside itself or too deep.
func (w *walker) inside(v any, fn func() error) error {
	if w.on[v] {
		return fmt.Errorf("at %q: a value contains itself", join(w.path))
	}
	if len(w.on) >= maxDepth {
		return fmt.Errorf("at %.100q: values are nested more than %d deep", join(w.path), maxDepth)
	}
	w.on[v] = true
	err := fn()
	delete(w.on, v)
	return err
}

func (w *walker) below(key, v any) error {
	n := len(keyText(key)) + 1
	if w.length += n; w.length > maxPathBytes {
		return fmt.Errorf("a path of more than %d bytes", maxPathBytes)
	}
	w.path = append(w.path, key)
	err := w.walk(v)
	w.path = w.path[:len(w.path)-1]
	w.length -= n
	return err
}

func (w *walker) list(items []any) error {
	for i, v := range items {
		if leaf(v) {
			continue
		}
		if err := w.below(i, v); err != nil {
			return err
		}
	}
	return nil
}

// pairs walks a dict; of equal keys the last counts, as in Python.
func (w *walker) pairs(pairs []pickle.Pair) error {
	last := map[string]int{}
	for i, e := range pairs {
		last[identity(e.Key)] = i
	}
	for i, e := range pairs {
		if leaf(e.Value) || last[identity(e.Key)] != i {
			continue
		}
		if err := w.below(e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// object walks an inert object: what it was given, filled with and set to.
func (w *walker) object(o *pickle.Object) error {
	if v, err := oldTensor(o); v != nil || err != nil {
		if err != nil {
			return fmt.Errorf("at %q: %s: %w", join(w.path), o.Class, err)
		}
		return w.walk(v)
	}
	switch o.Class.String() {
	case "collections.OrderedDict": // Python 2 gives [[key, value], …] to the constructor
		if len(o.Args) == 1 {
			if l, ok := o.Args[0].(*pickle.List); ok {
				if err := w.constructor(*l); err != nil {
					return err
				}
			}
		}
	default:
		for i, a := range o.Args {
			if !leaf(a) && !classOnly(a) {
				if err := w.below(fmt.Sprintf("args.%d", i), a); err != nil {
					return err
				}
			}
		}
	}
	if err := w.list(o.Items); err != nil {
		return err
	}
	if err := w.pairs(o.Pairs); err != nil {
		return err
	}
	for _, s := range o.State {
		if err := w.state(s); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) constructor(list []any) error {
	pairs := make([]pickle.Pair, 0, len(list))
	for _, x := range list {
		var kv []any
		switch x := x.(type) {
		case *pickle.List:
			kv = *x
		case *pickle.Tuple:
			kv = *x
		}
		if len(kv) != 2 {
			return fmt.Errorf("at %q: an OrderedDict of something else than pairs", join(w.path))
		}
		pairs = append(pairs, pickle.Pair{Key: kv[0], Value: kv[1]})
	}
	return w.pairs(pairs)
}

// state walks what BUILD sets: attributes, or (attributes, slots).
func (w *walker) state(s any) error {
	switch s := s.(type) {
	case *pickle.Dict:
		return w.pairs(*s)
	case *pickle.Tuple:
		if s.Len() == 2 && attributes((*s)[0]) && attributes((*s)[1]) {
			for _, part := range *s {
				if d, ok := part.(*pickle.Dict); ok {
					if err := w.pairs(*d); err != nil {
						return err
					}
				}
			}
			return nil
		}
		return w.walk(s)
	default:
		return w.walk(s)
	}
}

func attributes(v any) bool {
	_, ok := v.(*pickle.Dict)
	return ok || v == nil
}

// leaf values hold no tensor.
func leaf(v any) bool {
	switch v.(type) {
	case nil, bool, int, float64, string, []byte, *big.Int, *pickle.Class:
		return true
	}
	return false
}

// classOnly is an argument list that only says what to make, as
// copyreg._reconstructor has it.
func classOnly(v any) bool {
	t, ok := v.(*pickle.Tuple)
	if !ok {
		return false
	}
	for _, x := range *t {
		if !leaf(x) {
			return false
		}
	}
	return true
}

// identity is what makes two dict keys one. Python holds 1, 1.0 and True equal;
// no writer of state dicts mixes them.
func identity(k any) string { return kindOf(k) + "\x00" + keyText(k) }

// keyText writes a key as Python's str does, text as it is. Surrogates, which no
// UTF-8 has, are written \udXXX.
func keyText(k any) string {
	switch k := k.(type) {
	case string:
		return plain(k)
	case int:
		return strconv.Itoa(k)
	case *big.Int:
		return k.String()
	case bool:
		if k {
			return "True"
		}
		return "False"
	case nil:
		return "None"
	case float64:
		s := strconv.FormatFloat(k, 'g', -1, 64)
		if !strings.ContainsAny(s, ".einf") {
			s += ".0"
		}
		return s
	case []byte:
		return fmt.Sprintf("b%+q", k)
	case *pickle.Tuple:
		var b strings.Builder
		b.WriteByte('(')
		for i, x := range *k {
			if i > 0 {
				b.WriteString(", ")
			}
			if s, ok := x.(string); ok {
				b.WriteString("'" + plain(s) + "'")
			} else if _, nested := x.(*pickle.Tuple); nested {
				b.WriteString("(…)")
			} else {
				b.WriteString(keyText(x))
			}
			if b.Len() > maxPathBytes {
				break
			}
		}
		if k.Len() == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
		return b.String()
	}
	return "<" + kindOf(k) + ">"
}

func plain(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r != utf8.RuneError || n > 1:
			b.WriteString(s[i : i+n])
		case i+2 < len(s) && s[i] == 0xed: // a surrogate, as pickles encode it
			fmt.Fprintf(&b, `\ud%x%02x`, s[i+1]>>2&0xf, s[i+1]<<6|s[i+2]&0x3f)
			n = 3
		default:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
		i += n
	}
	return b.String()
}

// join writes keys as a path: with dots between.
func join(keys []any) string {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(keyText(k))
	}
	return b.String()
}

// brackets writes keys so that they can be told apart and read back: ["a.b"][0].
func brackets(keys []any) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteByte('[')
		if s, ok := k.(string); ok {
			b.WriteString(strconv.Quote(plain(s)))
		} else {
			b.WriteString(keyText(k))
		}
		b.WriteByte(']')
	}
	return b.String()
}
