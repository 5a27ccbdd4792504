package pickle

import (
	"github.com/nlpodyssey/gopickle/types"
)

// The containers of the opcode machine, by the names Python has for them. Dict
// keeps every pair in order, repeated keys too; sets and frozensets are read as
// List and Tuple.
type (
	Tuple = types.Tuple
	List  = types.List
	Dict  = types.Dict
	Pair  = types.DictEntry
)

// Class stands for a global of the pickle: a class or a function. Calling it
// runs Make; without Make the result is an Object that only remembers.
type Class struct {
	Module, Name string
	Make         func(args []any) (any, error)
	Keeps        bool // what Make gives holds on to arguments: their memory still counts
	Names        bool // what Make gives may be a Class
	Count        *int // of the objects made, where someone wants to know
}

// String is module.name.
func (c *Class) String() string { return c.Module + "." + c.Name }

// Call serves REDUCE.
func (c *Class) Call(args ...any) (any, error) {
	if c.Make != nil {
		return c.Make(args)
	}
	o, err := c.PyNew(args...)
	o.(*Object).Called = true
	return o, err
}

// PyNew serves NEWOBJ. Rebuild functions are functions, so an instance is always
// inert.
func (c *Class) PyNew(args ...any) (any, error) {
	if c.Count != nil {
		*c.Count++
	}
	return &Object{Class: c, Args: args}, nil
}

// Object is an instance that was not made: its class, what its constructor was
// given and what was put into it afterwards.
type Object struct {
	Class *Class
	Args  []any
	State []any  // one for each BUILD
	Items []any  // appended
	Pairs []Pair // set by key

	Called bool // what calling the class, or function, gave; else it was instantiated
}

// PySetState serves BUILD.
func (o *Object) PySetState(state any) error {
	o.State = append(o.State, state)
	return nil
}

// Append serves APPEND and APPENDS.
func (o *Object) Append(v any) { o.Items = append(o.Items, v) }

// Set serves SETITEM and SETITEMS.
func (o *Object) Set(key, v any) { o.Pairs = append(o.Pairs, Pair{Key: key, Value: v}) }
