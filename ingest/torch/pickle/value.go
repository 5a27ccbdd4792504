package pickle

import (
	"fmt"
	"strings"

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

	call *Class // of what calling an instance gives
}

// String is module.name.
func (c *Class) String() string { return c.Module + "." + c.Name }

// Call serves REDUCE.
func (c *Class) Call(args ...any) (any, error) {
	if c.Make != nil {
		return c.Make(args)
	}
	made, err := c.PyNew(args...)
	if o, ok := made.(*Object); ok {
		o.Called = true
	}
	return made, err
}

// PyNew serves NEWOBJ. Rebuild functions are functions, so an instance is always
// inert.
func (c *Class) PyNew(args ...any) (any, error) {
	if c.Count != nil {
		*c.Count++
	}
	if err := handed(args); err != nil {
		return nil, err
	}
	return &Object{Class: c, Args: args}, nil
}

// handed refuses to give on what finds names: what is found so is not judged.
func handed(args []any) error {
	for _, a := range args {
		if c, ok := a.(*Class); ok && c.Names {
			return fmt.Errorf("hands on %s, by which anything can be reached unseen; nothing is run, and the file is not to be trusted", c)
		}
	}
	return nil
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

// calling ends the name of what calling an instance gives.
const calling = ".__call__"

// ByInstance reports that an object is what calling an instance gave.
func (o *Object) ByInstance() bool { return o.Called && strings.HasSuffix(o.Class.Name, calling) }

// Call serves REDUCE of an instance, as functools.partial makes: what it gives is inert,
// too, and its first argument is the instance.
func (o *Object) Call(args ...any) (any, error) {
	c := o.Class
	if !strings.HasSuffix(c.Name, calling) {
		if c.call == nil {
			c.call = &Class{Module: c.Module, Name: c.Name + calling}
		}
		c = c.call
	}
	return c.Call(append([]any{o}, args...)...)
}

// PySetState serves BUILD.
func (o *Object) PySetState(state any) error {
	if t, ok := state.(*Tuple); ok {
		if err := handed(*t); err != nil {
			return err
		}
	}
	o.State = append(o.State, state)
	return nil
}

// Append serves APPEND and APPENDS.
func (o *Object) Append(v any) { o.Items = append(o.Items, v) }

// Set serves SETITEM and SETITEMS.
func (o *Object) Set(key, v any) { o.Pairs = append(o.Pairs, Pair{Key: key, Value: v}) }
