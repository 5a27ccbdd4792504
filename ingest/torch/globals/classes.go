// Package globals decides what the names mean that a torch pickle calls: functions that
// rebuild tensors, classes that stay inert, and what is refused. Nothing is ever run.
//
// Most users need [ClassOf]; the other functions read what torch's pickles are made of,
// and say of anything else what it is.
//
// Invariants: a name of Python's standard library beyond plain containers is refused,
// as is what in torch loads, compiles or runs; a value of a file is never printed.
package globals

import (
	"fmt"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
)

// harmless are the names of the standard library that checkpoints do hold:
// containers and plain values. They are made or stay inert; nothing is run.
var harmless = map[string]string{
	"builtins":    "list dict set frozenset tuple int float bool str bytes bytearray complex slice object range",
	"__builtin__": "list dict set frozenset tuple int long float bool str unicode bytes bytearray complex slice object xrange",
	"collections": "OrderedDict defaultdict Counter deque",
	"copyreg":     "_reconstructor", "copy_reg": "_reconstructor",
	"_codecs": "encode", "array": "_array_reconstructor array",
	"argparse": "Namespace", "types": "SimpleNamespace", "datetime": "datetime date time timedelta timezone",
	"decimal": "Decimal", "fractions": "Fraction", "uuid": "UUID", "pathlib": "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
	"re": "_compile", "functools": "partial", "enum": "Enum IntEnum", "random": "Random", "logging": "Logger",
}

// torchRefused are parts of torch whose functions load, compile or run things.
var torchRefused = []string{
	"torch.serialization", "torch.hub", "torch.utils", "torch.package", "torch.multiprocessing", "torch.testing", "torch.jit",
	"torch._dynamo", "torch._inductor", "torch.fx", "torch.onnx", "torch.cpp_extension", "torch._C", "torch.ops", "torch.library", "torch.compiler",
}

// torchKept are below torchRefused, and inert all the same.
var torchKept = []string{"torch.jit._pickle", "torch.utils.data", "torch.fx.immutable_collections"}

// ClassOf decides about a global: a rebuild function, an inert class, or a refusal.
// inert gets the classes that are worth a finding.
func ClassOf(module, name string, inert map[string]bool) (*pickle.Class, error) {
	c := &pickle.Class{Module: module, Name: name}
	top, _, _ := strings.Cut(module, ".")
	switch {
	case strings.Contains(name, "."):
		return nil, fmt.Errorf("it names %s.%s: a dotted name reaches through a module into others", module, name)
	case rebuilds[c.String()].make != nil:
		r := rebuilds[c.String()]
		c.Keeps, c.Make = r.keeps, r.of(c)
	case module == "torch" && (strided.Storages[name] != 0 || strided.DTypes[name] != 0):
	case stdlib[top]:
		if !word(harmless[module], name) {
			return nil, fmt.Errorf("it names %s: no tensor needs it and nothing is run; the file is not to be trusted", c)
		}
	case top == "torch" && under(module, torchRefused) && !under(module, torchKept), module == "torch" && (name == "load" || name == "save" || name == "compile"):
		return nil, fmt.Errorf("it names %s: no tensor needs it and nothing is run; the file is not to be trusted", c)
	case inertByNature(module, name):
	default:
		inert[c.String()] = true
	}
	return c, nil
}

// inertByNature are values beside the tensors that need no finding.
func inertByNature(module, name string) bool {
	return module == "torch.storage" || module == "torch" && !strings.HasPrefix(name, "_") || module == "torch.jit._pickle" || strings.HasPrefix(module, "__torch__")
}

func word(words, w string) bool {
	for s := range strings.FieldsSeq(words) {
		if s == w {
			return true
		}
	}
	return false
}

func under(module string, parents []string) bool {
	for _, p := range parents {
		if module == p || strings.HasPrefix(module, p+".") {
			return true
		}
	}
	return false
}
