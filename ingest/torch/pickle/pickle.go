// Package pickle reads one Python pickle into inert values: it builds lists,
// dicts, tuples and objects that remember what they were given, and runs
// nothing.
//
// Most users need [Load] and the value types: nil, bool, int, *big.Int, float64,
// string, []byte, *[Tuple], *[List], *[Dict], *[Class], *[Object], and whatever
// [Options.Class] and [Options.Persistent] make.
//
// Every pickle is run twice. The first run checks it without building anything:
// each opcode, length, stack height, memo index and operand kind. The second
// hands the machine of gopickle a plainer pickle of the same meaning, made as it
// is read: without frames, without the memo entries that nothing fetches (most
// of them, and most of the memory), with one spelling of each literal, and with
// globals as numbers, so that the machine's own classes never appear. What that
// machine does not survive therefore never reaches it.
//
// Invariants: values may be shared and cyclic, so never print one and never
// walk one without a bound; a dict keeps repeated keys, and a []byte must not
// become a map key.
package pickle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"

	"wreg/ingest/interrupt"
)

// The limits of one pickle.
const (
	MaxSize     = 1 << 30 // bytes: a state dict of eight million tensors
	maxStack    = 1 << 20 // values; torch stacks a thousand a mark
	maxMarks    = 1000    // marks open at once
	maxProtocol = 5
)

// Options of Load.
type Options struct {
	// Context ends the reading; nil is never done.
	Context context.Context
	// Budget bounds the memory of the values made, in bytes, as estimated before
	// each is made.
	Budget int64
	// Class is asked once for each distinct global. Its error ends the reading, as that of
	// spend does, which counts memory against Budget before Make takes it.
	Class func(module, name string, spend func(int64) error) (*Class, error)
	// Persistent makes what a persistent id stands for; nil refuses them.
	Persistent func(id any) (any, error)
}

// Result is a pickle that was read.
type Result struct {
	Value any
	Size  int   // bytes of data it took, up to and with STOP
	Ops   int   // opcodes run: a bound on the edges between values
	Bytes int64 // estimated memory of the values
}

// Load reads the pickle at the start of data. Errors name the byte at which the
// offending opcode starts; Truncated recognizes those that more data would fix.
func Load(data []byte, o Options) (*Result, error) {
	if len(data) > MaxSize {
		data = data[:MaxSize]
	}
	m := machine{data: data, options: &o, globals: map[string]uint32{}, steps: interrupt.Steps{Context: o.Context}}
	if err := m.run(); err != nil {
		return nil, err
	}
	r := &Result{Size: m.pos, Ops: m.ops}
	m.rewind()
	value, err := build(&m)
	if err != nil {
		return nil, err
	}
	r.Value, r.Bytes = value, m.live-int64(len(m.memo))*memoBytes-int64(m.slots)*costMemo
	return r, nil
}

// build runs gopickle on what m emits. The checks leave it nothing to panic
// about that is known; a panic that is not known is an error, too.
func build(m *machine) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("byte %d: the pickle cannot be decoded: %v", m.last, p)
		}
	}()
	f := &feed{m: m}
	u := pickle.NewUnpickler(f)
	u.FindClass = m.class
	u.PersistentLoad = func(id any) (any, error) {
		if m.options.Persistent == nil {
			return nil, errors.New("a persistent id where none belongs")
		}
		return m.options.Persistent(id)
	}
	value, err = u.Load()
	switch {
	case f.err != nil:
		return nil, f.err
	case err != nil:
		return nil, fmt.Errorf("byte %d: %w", m.last, withoutValue(err))
	}
	return value, nil
}

// printsValue are the sentences behind which gopickle prints a value of the file as Go
// holds it, addresses and all.
var printsValue = []string{"REDUCE requires a Callable object", "NEWOBJ requires a PyNewable object", "cannot instantiate", "BUILD requires a PyDictSettable instance",
	"STACK_GLOBAL requires str name", "STACK_GLOBAL requires str module"}

func withoutValue(err error) error {
	for _, s := range printsValue {
		if strings.HasPrefix(err.Error(), s) {
			return errors.New(s)
		}
	}
	return err
}

// feed is the stream the second run writes and gopickle reads.
type feed struct {
	m   *machine
	out []byte // emitted and not yet read
	err error
}

func (f *feed) fill() error {
	for len(f.out) == 0 && f.err == nil {
		f.m.out = f.m.out[:0]
		f.err = f.m.step()
		f.out = f.m.out
	}
	return f.err
}

func (f *feed) ReadByte() (byte, error) {
	if len(f.out) == 0 {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	b := f.out[0]
	f.out = f.out[1:]
	return b, nil
}

func (f *feed) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(f.out) == 0 {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}
