package torch

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
)

// The bounds of a walk: values may be shared, so that a small pickle holds more
// paths than there are atoms.
const (
	maxDepth     = 200
	visitsPerOp  = 4
	freeVisits   = 1000
	maxPathBytes = 8192
	textPerVisit = 64 // bytes of a key, or values without tensors, that cost as much as a visit
)

// walker finds the tensors of a pickled value and adds them to f. It goes as deep
// as maxDepth and no deeper, so it may call itself.
type walker struct {
	f      *File
	count  map[string]int // of plain paths: those that are there twice are written with brackets
	path   []any          // keys: strings, ints, and whatever else Python takes as one
	length int            // of the path, in bytes
	visits int64          // left

	on     map[any]int // containers above, by identity, and how deep: one below itself is a cycle
	chain  []any       // the same in order
	low    int         // the highest of them that what was walked leads back to
	cyclic map[any]any // those on a cycle, and the highest on it: they are walked once

	barren map[*pickle.Object]bool // those that hold nothing that is listed

	keys   []keyAt                // that may hold tensors
	listed map[*strided.View]bool // while keys are walked: what has a path already
}

// keyAt is a key of a dict, and the path of its value.
type keyAt struct {
	path []any
	key  any
}

// cycleMemory is what a container on a cycle takes, and an object that holds nothing; a key
// that is walked takes more. barrenVisits are few enough to walk such an object again.
const (
	cycleMemory  = 64
	barrenVisits = 16
)

var errVisits = errors.New("its values are shared so often that their paths cannot be listed")

// visit counts one.
func (w *walker) visit() error {
	if w.visits--; w.visits < 0 {
		return errVisits
	}
	return w.f.steps.Next()
}

// skim counts n values that are looked at and not walked: a tuple may be shared, too.
func (w *walker) skim(n int) error {
	if w.visits -= int64(n / textPerVisit); w.visits < 0 {
		return errVisits
	}
	return nil
}

func (w *walker) walk(v any) error {
	if err := w.visit(); err != nil {
		return err
	}
	switch v := v.(type) {
	case *strided.View:
		return w.view(v)
	case *globals.Array:
		return w.array(v)
	case *globals.Unknown:
		return fmt.Errorf("at %.200q: %w", join(w.path), v)
	case *strided.Storage:
		at := w.name()
		w.f.find("bare-storage", at, fmt.Sprintf("%q is a storage, not a tensor; it is not listed", at))
		return w.f.spend(listed)
	case *globals.Attributed:
		return w.inside(v, func() error {
			if err := w.walk(v.Value); err != nil {
				return err
			}
			return w.state(v.State)
		})
	case *globals.Parts:
		return w.inside(v, func() error {
			for i, name := range v.Names {
				if err := w.below(name, v.Values[i]); err != nil {
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
		return w.shared(v)
	}
	return nil
}

// shared walks an object, unless it was found to hold nothing that is listed: every
// module of a model may refer to its config.
func (w *walker) shared(o *pickle.Object) error {
	if w.barren[o] {
		return nil
	}
	found, visits := len(w.f.tensors)+len(w.f.findings)+len(w.keys), w.visits
	if err := w.inside(o, func() error { return w.object(o) }); err != nil {
		return err
	}
	if _, cyclic := w.cyclic[o]; cyclic || visits-w.visits < barrenVisits || found < len(w.f.tensors)+len(w.f.findings)+len(w.keys) {
		return nil
	}
	w.barren[o] = true
	return w.f.spend(cycleMemory)
}

// view lists a tensor; while keys are walked, one that has no path yet.
func (w *walker) view(v *strided.View) error {
	if w.listed[v] {
		return nil
	}
	if w.listed != nil {
		w.listed[v] = true
	}
	return w.f.add(w.name(), v)
}

// array lists an array of numpy's; what holds no numbers is said, and objects are walked.
func (w *walker) array(a *globals.Array) error {
	v, err := a.View(w.f.spend)
	switch {
	case err != nil:
		return fmt.Errorf("at %.200q: an array: %w", join(w.path), err)
	case v != nil:
		if err := w.f.spend(listed + 16*int64(len(v.Shape))); err != nil { // of the view itself
			return err
		}
		return w.view(v)
	case a.Words: // as good as a list of texts
		return nil
	}
	at := w.name()
	if err := w.f.spend(listed); err != nil {
		return err
	}
	w.f.find("unread-array", at, fmt.Sprintf("array %q is %s: it is not listed", at, a.Kind))
	if a.List == nil {
		return nil
	}
	return w.inside(a, func() error { return w.list(*a.List) })
}

// walkKeys lists the tensors that are keys, or parts of keys, and have no other path: a
// Parameter that is the key of its optimizer's state has one in param_groups.
func (w *walker) walkKeys() error {
	if len(w.keys) == 0 {
		return nil
	}
	w.listed = make(map[*strided.View]bool, len(w.f.views))
	for _, v := range w.f.views {
		w.listed[v] = true
	}
	for i := 0; i < len(w.keys); i++ { // those of keys come behind
		w.path, w.length = w.keys[i].path, len(join(w.keys[i].path))
		if err := w.below("key", w.keys[i].key); err != nil {
			return err
		}
	}
	return nil
}

// name is the path as the tensor will be called.
func (w *walker) name() string {
	plain := join(w.path)
	if w.count == nil || w.count[plain] == 1 && plain[:min(1, len(plain))] != "[" {
		return plain
	}
	name := brackets(w.path)
	w.f.find("path-collision", name, fmt.Sprintf("%d tensors would be called %.200q; this one is called %.200s", w.count[plain], plain, name))
	return name
}

// inside walks a container, unless it is too deep. One that is above itself, or was
// walked and is on such a cycle, as an object that knows its parent, has its paths.
func (w *walker) inside(v any, fn func() error) error {
	if at, above := w.on[v]; above {
		w.low = min(w.low, at)
		return nil
	}
	if top, ok := w.cyclic[v]; ok {
		for w.cyclic[top] != nil && w.cyclic[top] != top {
			top = w.cyclic[top]
		}
		if at, above := w.on[top]; above {
			w.low = min(w.low, at)
		}
		return nil
	}
	at := len(w.chain)
	if at >= maxDepth {
		return fmt.Errorf("at %.200q: values are nested more than %d deep", join(w.path), maxDepth)
	}
	low := w.low
	w.on[v], w.chain, w.low = at, append(w.chain, v), at+1
	err := fn()
	delete(w.on, v)
	if w.low <= at && err == nil {
		w.cyclic[v] = w.chain[w.low]
		err = w.f.spend(cycleMemory)
	}
	w.chain, w.low = w.chain[:at], min(low, w.low)
	return err
}

func (w *walker) below(key, v any) error {
	text := keyText(key)
	w.visits -= int64(len(text) / textPerVisit)
	if w.length += len(text) + 1; w.length > maxPathBytes {
		return fmt.Errorf("at %.200q: a path of more than %d bytes", join(w.path), maxPathBytes)
	}
	w.path = append(w.path, key)
	err := w.walk(v)
	w.path = w.path[:len(w.path)-1]
	w.length -= len(text) + 1
	return err
}

func (w *walker) list(items []any) error {
	if err := w.skim(len(items)); err != nil {
		return err
	}
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
	if len(pairs) == 1 {
		return w.pair(0, pairs[0])
	}
	last := make(map[any]int, len(pairs))
	for i, e := range pairs {
		if err := w.visit(); err != nil {
			return err
		}
		last[identity(e.Key)] = i
	}
	for i, e := range pairs {
		if at, ok := last[identity(e.Key)]; ok && at != i { // NaN is not a key of a map: each is one of its own
			continue
		}
		if err := w.pair(i, e); err != nil {
			return err
		}
	}
	return nil
}

// pair walks the i-th pair of a dict. A key that has no text is that number.
func (w *walker) pair(i int, e pickle.Pair) error {
	all, err := w.leaves(e.Key)
	if err != nil {
		return err
	}
	key, held := e.Key, !leaf(e.Key) && !all
	if leaf(e.Value) && !held {
		return nil
	}
	if !leaf(key) {
		if text, ok := objectText(key); ok {
			key = written(text)
		} else {
			key = numbered{i, globals.KindOf(key)}
		}
	}
	if held {
		if err := w.f.spend(cycleMemory + int64(16*len(w.path)+len(keyText(key)))); err != nil {
			return err
		}
		w.keys = append(w.keys, keyAt{append(slices.Clone(w.path), key), e.Key})
	}
	if leaf(e.Value) {
		return nil
	}
	return w.below(key, e.Value)
}

// object walks an inert object: what it was given, filled with and set to.
func (w *walker) object(o *pickle.Object) error {
	if v, err := globals.LegacyTensor(o); v != nil || err != nil {
		if err != nil {
			return fmt.Errorf("at %.200q: %s: %w", join(w.path), o.Class, err)
		}
		return w.walk(v)
	}
	if err := w.skim(len(o.Args)); err != nil {
		return err
	}
	if u := globals.Given(o); u != nil {
		return fmt.Errorf("at %.200q: %w", join(w.path), u)
	}
	found := len(w.f.tensors) + len(w.f.findings)
	if err := w.arguments(o); err != nil {
		return err
	}
	if o.ByInstance() && len(w.f.tensors)+len(w.f.findings) > found {
		return fmt.Errorf("at %.200q: %w", join(w.path), &globals.Unknown{Maker: o.Class.String()})
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

// arguments walks what a constructor was given. Python 2 hands an OrderedDict its
// items so: [[key, value], …].
func (w *walker) arguments(o *pickle.Object) error {
	if o.Class.String() == "collections.OrderedDict" && len(o.Args) == 1 {
		if l, ok := o.Args[0].(*pickle.List); ok {
			return w.constructor(*l)
		}
	}
	for i, a := range o.Args {
		if leaf(a) {
			continue
		}
		if all, err := w.leaves(a); err != nil {
			return err
		} else if all {
			continue
		}
		if err := w.below(fmt.Sprintf("args.%d", i), a); err != nil {
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
			return fmt.Errorf("at %.200q: an OrderedDict of something other than pairs", join(w.path))
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
		if s.Len() != 2 || !attributes(s.Get(0)) || !attributes(s.Get(1)) {
			return w.walk(s)
		}
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
}

func attributes(v any) bool {
	_, ok := v.(*pickle.Dict)
	return ok || v == nil
}

// leaf values hold no tensor.
func leaf(v any) bool {
	switch v.(type) {
	case nil, bool, int, float64, string, []byte, *big.Int, *pickle.Class, *globals.Scalar:
		return true
	}
	return false
}

// leaves is a tuple of nothing but leaves, as copyreg._reconstructor is given.
func (w *walker) leaves(v any) (bool, error) {
	t, ok := v.(*pickle.Tuple)
	if !ok {
		return false, nil
	}
	for i, x := range *t {
		if !leaf(x) {
			return false, w.skim(i)
		}
	}
	return true, w.skim(t.Len())
}
