package globals

import (
	"errors"
	"fmt"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// Attributed is a tensor that carries other values, as subclasses do.
type Attributed struct {
	Value any
	State any
}

// Parts is a tensor that is stored as several.
type Parts struct {
	Names  []string
	Values []any
}

// rebuild is a function by which torch's pickles make a tensor.
type rebuild struct {
	least, most int  // arguments that it takes; most is 0 where more are passed over
	keeps       bool // what it gives holds on to its arguments, which may be of any size
	make        maker
}

// maker is given what counts memory, for what may be as large as its arguments.
type maker func(args []any, spend func(int64) error) (any, error)

// small makes what takes little memory of its own.
func small(f func(args []any) (any, error)) maker {
	return func(args []any, _ func(int64) error) (any, error) { return f(args) }
}

// rebuilds are those functions by their global name; torch/_utils.py says what each is
// given, and numpy's are in numpy.go. numpy._core is numpy.core since numpy 2.
var rebuilds map[string]rebuild

func init() { // they call one another by way of the table
	rebuilds = map[string]rebuild{
		"torch._utils._rebuild_tensor":                        {4, 7, false, small(rebuildTensor)},
		"torch._utils._rebuild_tensor_v2":                     {4, 7, false, small(rebuildTensor)},
		"torch._utils._rebuild_tensor_v3":                     {7, 8, false, small(rebuildTensor3)},
		"torch._utils._rebuild_parameter":                     {3, 0, true, small(rebuildParameter)},
		"torch._utils._rebuild_parameter_with_state":          {3, 0, true, small(rebuildParameter)},
		"torch._utils._rebuild_qtensor":                       {5, 0, true, small(rebuildQuantized)},
		"torch._utils._rebuild_sparse_tensor":                 {2, 0, true, small(rebuildSparse)},
		"torch._utils._rebuild_sparse_csr_tensor":             {2, 0, true, small(rebuildSparse)},
		"torch._utils._rebuild_nested_tensor":                 {4, 0, true, small(rebuildNested)},
		"torch._utils._rebuild_meta_tensor_no_storage":        {3, 0, false, small(rebuildMeta)},
		"torch._utils._rebuild_device_tensor_from_numpy":      {2, 0, true, small(rebuildFromNumpy)},
		"torch._utils._rebuild_device_tensor_from_cpu_tensor": {0, 0, true, small(rebuildFirst)},
		"torch._tensor._rebuild_from_type_v2":                 {3, 0, true, small(rebuildFromType)},
		"torch._tensor._rebuild_from_type":                    {3, 0, true, small(rebuildFromType)},
		"torch.nn.parameter.Parameter":                        {0, 0, true, small(rebuildFirst)},
		"torch.serialization._get_layout":                     {1, 1, false, small(layout)},
		"torch.storage._load_from_bytes":                      {0, 0, true, nil},
		"torch.fx.graph_module.reduce_graph_module":           {2, 0, true, small(rebuildGraph)},
		"torch.fx.graph_module.reduce_package_graph_module":   {2, 0, true, small(rebuildGraph)},
		"torch.fx.graph_module.reduce_deploy_graph_module":    {2, 0, true, small(rebuildGraph)},
		"numpy.core.multiarray._reconstruct":                  {3, 0, true, small(reconstruct)},
		"numpy.core.numeric._frombuffer":                      {4, 5, true, small(fromBuffer)},
		"numpy.core.multiarray.scalar":                        {1, 2, true, scalar},
		"numpy.ma.core._mareconstruct":                        {3, 0, true, small(reconstruct)},
		"_codecs.encode":                                      {1, 3, true, encode},
		"builtins.bytes":                                      {0, 0, true, rawBytes},
		"builtins.bytearray":                                  {0, 0, true, rawBytes},
	}
}

// functionOf is the row of a global. What rebuilds tensors, by its name, and has none
// makes what is not known.
func functionOf(c *pickle.Class, name string) rebuild {
	r, known := rebuilds[strings.Replace(strings.Replace(name, "numpy._core.", "numpy.core.", 1), "__builtin__.", "builtins.", 1)]
	switch {
	case known && r.make != nil:
		return r
	case known, (c.Module == "torch._utils" || c.Module == "torch._tensor") && strings.HasPrefix(c.Name, "_rebuild") && name != wrapper,
		c.Module == "torch.multiprocessing.reductions" && strings.HasPrefix(c.Name, "rebuild"):
		return rebuild{keeps: true, make: small(func([]any) (any, error) { return nil, &Unknown{name} })}
	}
	return rebuild{}
}

// of makes the function of class c.
func (r rebuild) of(c *pickle.Class, spend func(int64) error) func(args []any) (any, error) {
	return func(args []any) (v any, err error) {
		if len(args) < r.least || r.most > 0 && len(args) > r.most {
			err = fmt.Errorf("%d arguments", len(args))
		} else {
			v, err = r.make(args, spend)
		}
		if u, ok := err.(*Unknown); ok {
			return u, nil // where it lies is said when it is met there
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		return v, nil
	}
}

// rebuildTensor serves (storage, offset, size, stride) and what v2 adds:
// requires_grad, hooks, and metadata with pending conj and neg.
func rebuildTensor(args []any) (any, error) {
	v, err := viewOf(args)
	if err != nil {
		return nil, err
	}
	if v.DType = v.Storage.DType; v.DType == tensor.Invalid {
		v.DType = tensor.U8
	}
	return finished(v, args[min(6, len(args)):])
}

// rebuildTensor3 has the dtype as an argument, its storage counted in bytes.
func rebuildTensor3(args []any) (any, error) {
	v, err := viewOf(args)
	if err != nil {
		return nil, err
	}
	if v.DType, err = DTypeOf(args[6]); err != nil {
		return nil, err
	}
	return finished(v, args[7:])
}

// finished is a view with the metadata that may be the last argument.
func finished(v *strided.View, last []any) (any, error) {
	if len(last) > 0 {
		if err := metadata(v, last[0]); err != nil {
			return nil, err
		}
	}
	return v, v.Check()
}

func rebuildQuantized(args []any) (any, error) {
	v, err := viewOf(args)
	if err != nil {
		return nil, err
	}
	v.DType = v.Storage.DType
	if err := v.Check(); err != nil {
		return nil, err
	}
	// (scheme, scales, zero points, axis), tensors when they are per channel.
	if t, ok := args[4].(*pickle.Tuple); ok && t.Len() > 2 {
		return &Attributed{v, &pickle.Dict{{Key: "scales", Value: t.Get(1)}, {Key: "zero_points", Value: t.Get(2)}}}, nil
	}
	return v, nil
}

// rebuildNested is (buffer, sizes, strides, offsets).
func rebuildNested(args []any) (any, error) {
	return &Parts{Names: []string{"buffer", "sizes", "strides", "offsets"}, Values: args[:4]}, nil
}

func rebuildParameter(args []any) (any, error) {
	if err := isTensor(args[0]); err != nil {
		return nil, err
	}
	if len(args) > 3 {
		return &Attributed{args[0], args[3]}, nil
	}
	return args[0], nil
}

func rebuildFirst(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	return args[0], isTensor(args[0])
}

// rebuildFromType is (function, type, arguments, state): the tensor of a subclass.
func rebuildFromType(args []any) (any, error) {
	fn, ok := args[0].(*pickle.Class)
	given, ok2 := args[2].(*pickle.Tuple)
	if !ok || !ok2 {
		return nil, errors.New("no function and arguments")
	}
	if fn.Make == nil && fn.String() != wrapper {
		return nil, &Unknown{fn.String()}
	}
	value, err := fn.Call(items(given)...)
	if err != nil || len(args) < 4 || args[3] == nil {
		return value, err
	}
	return &Attributed{value, args[3]}, nil
}

// rebuildSparse is (layout, (components…, size)).
func rebuildSparse(args []any) (any, error) {
	layout, _ := args[0].(*pickle.Class)
	if o, ok := args[0].(*pickle.Object); ok && layout == nil {
		layout = o.Class
	}
	kind := ""
	if s, ok := args[0].(string); ok {
		kind = s
	} else if layout != nil {
		kind = layout.Name
	}
	data, ok := args[1].(*pickle.Tuple)
	if !ok {
		return nil, errors.New("no components")
	}
	names := []string{"compressed_indices", "plain_indices", "values"}
	if kind == "sparse_coo" || kind == "torch.sparse_coo" {
		names = []string{"indices", "values"}
	}
	if data.Len() < len(names) {
		return nil, fmt.Errorf("%s of %d components", kind, data.Len())
	}
	return &Parts{Names: names, Values: items(data)[:len(names)]}, nil
}

// rebuildMeta is (dtype, size, stride, requires_grad).
func rebuildMeta(args []any) (any, error) {
	v := &strided.View{Meta: true}
	var err error
	if v.DType, err = DTypeOf(args[0]); err == nil {
		if v.Shape, err = Ints(args[1]); err == nil {
			v.Stride, err = Ints(args[2])
		}
	}
	if err != nil {
		return nil, err
	}
	return v, v.Check()
}

// layout is (name): "torch.sparse_coo".
func layout(args []any) (any, error) { return args[0], nil }

// rebuildFromNumpy is (array, dtype, device, requires_grad): where torch would convert,
// the array's bytes are not the tensor's.
func rebuildFromNumpy(args []any) (any, error) {
	a, ok := args[0].(*Array)
	dt, err := DTypeOf(args[1])
	if !ok || err != nil {
		return nil, fmt.Errorf("a %s and a %s instead of an array and a dtype", KindOf(args[0]), KindOf(args[1]))
	}
	v, err := a.View(noCopies)
	if err != nil {
		return nil, err
	}
	if v == nil || v.DType != dt {
		return nil, &Unknown{"torch._utils._rebuild_device_tensor_from_numpy"}
	}
	return v, nil
}

// rebuildGraph is (attributes, code): a module of torch.fx, whose code is not looked at.
func rebuildGraph(args []any) (any, error) {
	return &pickle.Object{Class: &pickle.Class{Module: "torch.fx.graph_module", Name: "GraphModule"}, State: args[:1]}, nil
}

func viewOf(args []any) (*strided.View, error) {
	st, ok := args[0].(*strided.Storage)
	if u := unknown(args[0]); u != nil {
		return nil, u
	}
	if !ok {
		return nil, fmt.Errorf("its storage is a %s", KindOf(args[0]))
	}
	v := &strided.View{Storage: st}
	var err error
	if v.Offset, err = Integer(args[1]); err != nil {
		return nil, fmt.Errorf("storage offset: %w", err)
	}
	if v.Shape, err = Ints(args[2]); err != nil {
		return nil, fmt.Errorf("size: %w", err)
	}
	if v.Stride, err = Ints(args[3]); err != nil {
		return nil, fmt.Errorf("stride: %w", err)
	}
	return v, nil
}

// metadata takes the pending operations of a tensor: its bytes are not its values.
func metadata(v *strided.View, m any) error {
	d, ok := m.(*pickle.Dict)
	if !ok {
		return nil
	}
	for _, e := range *d {
		on, _ := e.Value.(bool)
		switch e.Key {
		case "conj":
			v.Conj = on && strided.Component(v.DType) != v.Item()
		case "neg":
			v.Neg = on
		}
	}
	if v.Neg && !strided.Signed(v.DType) {
		return fmt.Errorf("a pending negation of %v", v.DType)
	}
	return nil
}

// isTensor lets instances of inert classes pass: subclasses of Tensor are such.
func isTensor(v any) error {
	if u := unknown(v); u != nil {
		return u
	}
	switch v.(type) {
	case *strided.View, *Attributed, *Parts, *Array, *pickle.Object:
		return nil
	}
	return fmt.Errorf("want a tensor, have a %s", KindOf(v))
}

// DTypeOf reads an element type, a name of module torch.
func DTypeOf(v any) (tensor.DType, error) {
	if c, ok := v.(*pickle.Class); ok && c.Module == "torch" && strided.DTypes[c.Name] != tensor.Invalid {
		return strided.DTypes[c.Name], nil
	}
	if c, ok := v.(*pickle.Class); ok {
		return tensor.Invalid, fmt.Errorf("unknown dtype %s", c)
	}
	return tensor.Invalid, fmt.Errorf("want a dtype, have a %s", KindOf(v))
}

func items(t *pickle.Tuple) []any {
	out := make([]any, t.Len())
	for i := range out {
		out[i] = t.Get(i)
	}
	return out
}

// Integer reads a whole number of 64 bits.
func Integer(v any) (int64, error) {
	if n, ok := v.(int); ok {
		return int64(n), nil
	}
	return 0, fmt.Errorf("want a 64-bit integer, have a %s", KindOf(v))
}

// Ints reads a list of whole numbers: a tuple, a list, a torch.Size.
func Ints(v any) ([]int64, error) {
	var list []any
	switch v := v.(type) {
	case *pickle.Tuple:
		list = items(v)
	case *pickle.List:
		list = *v
	case *pickle.Object: // torch.Size
		if len(v.Args) == 1 && v.Class.String() == "torch.Size" {
			return Ints(v.Args[0])
		}
		return nil, fmt.Errorf("want numbers, have a %s", v.Class)
	default:
		return nil, fmt.Errorf("want numbers, have a %s", KindOf(v))
	}
	if len(list) > tensor.MaxRank {
		return nil, fmt.Errorf("rank %d exceeds %d", len(list), tensor.MaxRank)
	}
	out := make([]int64, len(list))
	for i, x := range list {
		n, err := Integer(x)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// KindOf names a value's type as Python would; the value itself is never printed.
func KindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case string:
		return "str"
	case []byte:
		return "bytes"
	case float64:
		return "float"
	case *pickle.Tuple:
		return "tuple"
	case *pickle.List:
		return "list"
	case *pickle.Dict:
		return "dict"
	case *pickle.Class:
		return v.String()
	case *pickle.Object:
		return v.Class.String()
	case *strided.Storage:
		return "storage"
	case *strided.View, *Attributed, *Parts, *Unknown:
		return "tensor"
	case *Array:
		return "numpy.ndarray"
	case *Scalar:
		return "numpy scalar"
	case int:
		return "int"
	}
	return "number beyond 64 bits"
}

// LegacyTensor recognises a tensor as torch 0.1 pickled it: an instance of its class
// whose state is (storage, offset, size, stride).
func LegacyTensor(o *pickle.Object) (*strided.View, error) {
	if !isLegacy(o) || len(o.State) != 1 {
		return nil, nil
	}
	t, ok := o.State[0].(*pickle.Tuple)
	if !ok || t.Len() != 4 {
		return nil, fmt.Errorf("a state that is a %s", KindOf(o.State[0]))
	}
	v, err := rebuildTensor(items(t))
	if err != nil {
		return nil, err
	}
	return v.(*strided.View), nil
}

func isLegacy(o *pickle.Object) bool {
	return (o.Class.Module == "torch" || o.Class.Module == "torch.cuda") && strings.HasSuffix(o.Class.Name, "Tensor")
}

// StorageOf reads the class, key and element count of a persistent id.
func StorageOf(class, key, numel any) (*strided.Storage, error) {
	c, ok := class.(*pickle.Class)
	if !ok {
		return nil, fmt.Errorf("a storage whose class is a %s", KindOf(class))
	}
	st := &strided.Storage{DType: strided.Storages[c.Name]}
	switch {
	case c.Name == "UntypedStorage" && (c.Module == "torch" || c.Module == "torch.storage"):
		st.DType = tensor.Invalid
	case c.Module != "torch" && c.Module != "torch.cuda" || st.DType == tensor.Invalid:
		// torch takes any class called SomethingStorage: a name proves nothing.
		return nil, fmt.Errorf("unknown storage class %s", c)
	}
	if st.Key, ok = key.(string); !ok {
		return nil, fmt.Errorf("a storage whose key is a %s", KindOf(key))
	}
	var err error
	if st.Numel, err = Integer(numel); err != nil {
		return nil, fmt.Errorf("storage %.100q: element count: %w", st.Key, err)
	}
	unit := st.DType
	if unit == tensor.Invalid {
		unit = tensor.U8
	}
	if st.Bytes, err = unit.Size(st.Numel); err != nil {
		return nil, fmt.Errorf("storage %.100q: %w", st.Key, err)
	}
	return st, nil
}
