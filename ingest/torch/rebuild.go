package torch

import (
	"errors"
	"fmt"

	"wreg/ingest/torch/pickle"
	"wreg/registry/tensor"
)

// attributed is a tensor that carries other values, as subclasses do.
type attributed struct {
	value any
	state any
}

// parts is a tensor that is stored as several.
type parts struct {
	names  []string
	values []any
}

// rebuilds are the functions by which torch's pickles make tensors, by their
// global name; torch/_utils.py says what each is given. A nil Make elsewhere
// leaves a global inert.
var rebuilds map[string]func(f *File, args []any) (any, error)

func init() { // they call one another by way of the table
	rebuilds = map[string]func(f *File, args []any) (any, error){
		"torch._utils._rebuild_tensor":                        rebuildTensor,
		"torch._utils._rebuild_tensor_v2":                     rebuildTensor,
		"torch._utils._rebuild_tensor_v3":                     rebuildTensor3,
		"torch._utils._rebuild_parameter":                     rebuildParameter,
		"torch._utils._rebuild_parameter_with_state":          rebuildParameter,
		"torch._utils._rebuild_qtensor":                       rebuildQuantized,
		"torch._utils._rebuild_sparse_tensor":                 rebuildSparse,
		"torch._utils._rebuild_sparse_csr_tensor":             rebuildSparse,
		"torch._utils._rebuild_nested_tensor":                 rebuildNested,
		"torch._utils._rebuild_meta_tensor_no_storage":        rebuildMeta,
		"torch._utils._rebuild_device_tensor_from_numpy":      rebuildOther,
		"torch._utils._rebuild_device_tensor_from_cpu_tensor": rebuildFirst,
		"torch._tensor._rebuild_from_type_v2":                 rebuildFromType,
		"torch._tensor._rebuild_from_type":                    rebuildFromType,
		"torch.nn.parameter.Parameter":                        rebuildFirst,
		"torch.serialization._get_layout":                     layout,
		"torch.storage._load_from_bytes":                      rebuildOther,
	}
}

// keepNothing are the rebuild functions whose tensors hold on to none of their
// arguments. The others wrap a value that may be of any size.
var keepNothing = map[string]bool{
	"torch._utils._rebuild_tensor": true, "torch._utils._rebuild_tensor_v2": true, "torch._utils._rebuild_tensor_v3": true,
	"torch._utils._rebuild_meta_tensor_no_storage": true, "torch.serialization._get_layout": true,
}

// rebuildTensor serves (storage, offset, size, stride) and what v2 adds:
// requires_grad, hooks, and metadata with pending conj and neg.
func rebuildTensor(f *File, args []any) (any, error) {
	if len(args) < 4 || len(args) > 7 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	v, err := viewOf(args[:4])
	if err != nil {
		return nil, err
	}
	if v.dtype = v.st.dtype; v.dtype == tensor.Invalid {
		v.dtype = tensor.U8
	}
	if len(args) == 7 {
		if err := v.metadata(args[6]); err != nil {
			return nil, err
		}
	}
	return v, v.check()
}

// rebuildTensor3 has the dtype as an argument, its storage counted in bytes.
func rebuildTensor3(f *File, args []any) (any, error) {
	if len(args) < 7 || len(args) > 8 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	v, err := viewOf(args[:4])
	if err != nil {
		return nil, err
	}
	if v.dtype, err = dtypeOf(args[6]); err != nil {
		return nil, err
	}
	if len(args) == 8 {
		if err := v.metadata(args[7]); err != nil {
			return nil, err
		}
	}
	return v, v.check()
}

func rebuildQuantized(f *File, args []any) (any, error) {
	if len(args) < 5 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	v, err := viewOf(args[:4])
	if err != nil {
		return nil, err
	}
	v.dtype = v.st.dtype
	if err := v.check(); err != nil {
		return nil, err
	}
	// (scheme, scales, zero points, axis), tensors when they are per channel.
	if t, ok := args[4].(*pickle.Tuple); ok && t.Len() > 2 {
		return &attributed{v, &pickle.Dict{{Key: "scales", Value: t.Get(1)}, {Key: "zero_points", Value: t.Get(2)}}}, nil
	}
	return v, nil
}

// rebuildNested is (buffer, sizes, strides, offsets).
func rebuildNested(f *File, args []any) (any, error) {
	names := []string{"buffer", "sizes", "strides", "offsets"}
	if len(args) < len(names) {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	return &parts{names: names, values: args[:len(names)]}, nil
}

func rebuildParameter(f *File, args []any) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	if err := isTensor(args[0]); err != nil {
		return nil, err
	}
	if len(args) > 3 {
		return &attributed{args[0], args[3]}, nil
	}
	return args[0], nil
}

func rebuildFirst(f *File, args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	return args[0], isTensor(args[0])
}

// rebuildFromType is (function, type, arguments, state): the tensor of a subclass.
func rebuildFromType(f *File, args []any) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	fn, ok := args[0].(*pickle.Class)
	given, ok2 := args[2].(*pickle.Tuple)
	if !ok || !ok2 {
		return nil, errors.New("no function and arguments")
	}
	value, err := fn.Call(items(given)...)
	if err != nil || len(args) < 4 || args[3] == nil {
		return value, err
	}
	return &attributed{value, args[3]}, nil
}

// rebuildSparse is (layout, (components…, size)).
func rebuildSparse(f *File, args []any) (any, error) {
	if len(args) < 2 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
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
	return &parts{names: names, values: items(data)[:len(names)]}, nil
}

// rebuildMeta is (dtype, size, stride, requires_grad).
func rebuildMeta(f *File, args []any) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	v := &view{meta: true}
	var err error
	if v.dtype, err = dtypeOf(args[0]); err == nil {
		if v.shape, err = ints(args[1]); err == nil {
			v.stride, err = ints(args[2])
		}
	}
	if err != nil {
		return nil, err
	}
	return v, v.check()
}

// layout is (name): "torch.sparse_coo".
func layout(f *File, args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	return args[0], nil
}

func rebuildOther(f *File, args []any) (any, error) {
	return nil, errors.New("tensors stored so are not read: save them again with torch.save of a state dict")
}

func viewOf(args []any) (*view, error) {
	st, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("its storage is a %s", kindOf(args[0]))
	}
	v := &view{st: st}
	var err error
	if v.offset, err = integer(args[1]); err != nil {
		return nil, fmt.Errorf("storage offset: %w", err)
	}
	if v.shape, err = ints(args[2]); err != nil {
		return nil, fmt.Errorf("size: %w", err)
	}
	if v.stride, err = ints(args[3]); err != nil {
		return nil, fmt.Errorf("stride: %w", err)
	}
	return v, nil
}

// metadata takes the pending operations of a tensor: its bytes are not its values.
func (v *view) metadata(m any) error {
	d, ok := m.(*pickle.Dict)
	if !ok {
		return nil
	}
	for _, e := range *d {
		on, _ := e.Value.(bool)
		switch e.Key {
		case "conj":
			v.conj = on && component(v.dtype) != v.item()
		case "neg":
			v.neg = on
		}
	}
	if v.neg && !signed(v.dtype) {
		return fmt.Errorf("a pending negation of %v", v.dtype)
	}
	return nil
}

// isTensor lets inert objects pass: subclasses of Tensor are such.
func isTensor(v any) error {
	switch v.(type) {
	case *view, *attributed, *parts, *pickle.Object:
		return nil
	}
	return fmt.Errorf("a %s stands where a tensor belongs", kindOf(v))
}

func dtypeOf(v any) (tensor.DType, error) {
	if c, ok := v.(*pickle.Class); ok && c.Module == "torch" && dtypes[c.Name] != tensor.Invalid {
		return dtypes[c.Name], nil
	}
	if c, ok := v.(*pickle.Class); ok {
		return tensor.Invalid, fmt.Errorf("unknown dtype %s", c)
	}
	return tensor.Invalid, fmt.Errorf("a %s stands where a dtype belongs", kindOf(v))
}

func items(t *pickle.Tuple) []any {
	out := make([]any, t.Len())
	for i := range out {
		out[i] = t.Get(i)
	}
	return out
}

func integer(v any) (int64, error) {
	if n, ok := v.(int); ok {
		return int64(n), nil
	}
	return 0, fmt.Errorf("a %s stands where a whole number of 64 bits belongs", kindOf(v))
}

func ints(v any) ([]int64, error) {
	var list []any
	switch v := v.(type) {
	case *pickle.Tuple:
		list = items(v)
	case *pickle.List:
		list = *v
	case *pickle.Object: // torch.Size
		if len(v.Args) == 1 && v.Class.String() == "torch.Size" {
			return ints(v.Args[0])
		}
		return nil, fmt.Errorf("a %s stands where numbers belong", v.Class)
	default:
		return nil, fmt.Errorf("a %s stands where numbers belong", kindOf(v))
	}
	if len(list) > tensor.MaxRank {
		return nil, fmt.Errorf("rank %d exceeds %d", len(list), tensor.MaxRank)
	}
	out := make([]int64, len(list))
	for i, x := range list {
		n, err := integer(x)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// kindOf names a value's type as Python would; the value itself is never printed.
func kindOf(v any) string {
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
	case *storage:
		return "storage"
	case *view, *attributed, *parts:
		return "tensor"
	case int:
		return "int"
	}
	return "number beyond 64 bits"
}
