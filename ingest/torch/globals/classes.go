// Package globals decides what the names mean that a torch pickle calls: functions that
// rebuild tensors, numpy's arrays, classes that stay inert, and what is refused. Nothing
// is ever run.
//
// Most users need [Seen.ClassOf]; the other functions read what torch's pickles are made of,
// and say of anything else what it is.
//
// Invariants: a name that acts, or that passes through one, is refused; any other name
// that no tensor needs stays inert; a value of a file is never printed.
package globals

import (
	"fmt"
	"slices"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
)

// Seen counts the objects of the classes that are worth a word.
type Seen map[string]*int

// plain are the names beside the tensors that checkpoints are full of: containers and
// plain values. They need no word; * is every name of a module.
var plain = names(`
builtins bool bytearray bytes complex dict float frozenset int list object range set slice str tuple type
__builtin__ bool bytearray bytes complex dict float frozenset int list long object set slice str tuple type unicode xrange
collections *
copyreg _reconstructor
copy_reg _reconstructor
array *
argparse Namespace
types *
typing *
datetime *
decimal Decimal
fractions Fraction
uuid UUID
pathlib *
re _compile
functools partial
enum *
random Random
logging Logger
numpy *
torch.storage *
torch.jit._pickle *
`)

// ClassOf decides about a global: a rebuild function, an inert class, or a refusal. spend
// counts memory before it is taken.
func (seen Seen) ClassOf(module, name string, spend func(int64) error) (*pickle.Class, error) {
	c := &pickle.Class{Module: module, Name: name}
	full := c.String()
	if acts(full) {
		return nil, fmt.Errorf("names %s, which no tensor needs and which acts when Python loads it; nothing is run, and the file is not to be trusted", c)
	}
	if f := functionOf(c, full); f.make != nil {
		c.Keeps, c.Make = f.keeps, f.of(c, spend)
		return c, nil
	}
	switch {
	case (module == "builtins" || module == "__builtin__") && name == "getattr":
		c.Names, c.Keeps = true, true
		c.Make = func(args []any) (any, error) { return seen.attribute(c, args, spend) }
	case module == "torch" && (strided.Storages[name] != 0 || strided.DTypes[name] != 0 || !strings.HasPrefix(name, "_")),
		strings.HasPrefix(module, "__torch__"), plain[module]["*"], plain[module][name]:
	default:
		if c.Count = seen[full]; c.Count == nil {
			c.Count = new(int)
			seen[full] = c.Count
		}
	}
	return c, nil
}

// attributeMemory is what an attribute takes besides its name, which is kept twice.
const attributeMemory = 512

// attribute is getattr: of a class or function it is a name, to be judged as one. What
// an object's is nobody knows without running it: it stays inert and keeps the object.
func (seen Seen) attribute(c *pickle.Class, args []any, spend func(int64) error) (any, error) {
	if len(args) < 2 || len(args) > 3 {
		return nil, fmt.Errorf("%s: %d arguments", c, len(args))
	}
	name, ok := args[1].(string)
	if !ok {
		return nil, fmt.Errorf("%s: an attribute whose name is a %s", c, KindOf(args[1]))
	}
	if slices.ContainsFunc(strings.Split(name, "."), reaches) {
		return nil, fmt.Errorf("names %.100q of a %s, which no tensor needs and which acts when Python loads it; nothing is run, and the file is not to be trusted", name, KindOf(args[0]))
	}
	var to *pickle.Class // whose name the attribute's begins with
	switch v := args[0].(type) {
	case *pickle.Class:
		to = v
	case *pickle.Object:
		to = v.Class
	case *strided.View, *strided.Storage, *Attributed, *Parts, *Array, *Unknown:
		return &Unknown{Maker: KindOf(v) + "." + name}, nil
	default:
		to = c
	}
	if len(to.Name)+len(name) >= pickle.MaxName {
		return nil, fmt.Errorf("%s: a name of more than %d bytes", c, pickle.MaxName)
	}
	if err := spend(attributeMemory + 4*int64(len(to.Module)+len(to.Name)+len(name))); err != nil {
		return nil, err
	}
	if to == args[0] {
		return seen.ClassOf(to.Module, to.Name+"."+name, spend)
	}
	return &pickle.Object{Class: &pickle.Class{Module: to.Module, Name: to.Name + "." + name}, State: []any{&pickle.Dict{{Key: "__self__", Value: args[0]}}}}, nil
}
