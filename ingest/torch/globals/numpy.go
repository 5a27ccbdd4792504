package globals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"wreg/ingest/npz"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// Array is one of numpy's. A pickle makes an empty one and sets it: (version, shape,
// dtype, whether the first index is the fastest, bytes or a list of objects).
type Array struct {
	shape, dtype, data any
	turned             bool
	axes               any // of the order that the elements lie in, for numpy's order K
	odd                string

	read  bool
	view  *strided.View
	Kind  string       // of what it holds, when it holds no numbers
	Words bool         // that are texts or dates
	List  *pickle.List // when that is objects
}

// reconstruct is (class, shape, type code) of an array that is yet to be set.
func reconstruct([]any) (any, error) { return &Array{odd: "never set"}, nil }

// PySetState serves BUILD.
func (a *Array) PySetState(state any) error {
	*a = Array{odd: "of a subclass with a state of its own"}
	t, ok := state.(*pickle.Tuple)
	if !ok || t.Len() != 5 {
		return nil
	}
	turned, ok := t.Get(3).(bool)
	if n, isInt := t.Get(3).(int); isInt {
		turned, ok = n != 0, true
	}
	if ok {
		*a = Array{shape: t.Get(1), dtype: t.Get(2), turned: turned, data: t.Get(4)}
	}
	return nil
}

// fromBuffer is (bytes, dtype, shape, order) and, for order K, the axes.
func fromBuffer(args []any) (any, error) {
	a := &Array{data: args[0], dtype: args[1], shape: args[2]}
	switch {
	case args[3] == "C":
	case args[3] == "F":
		a.turned = true
	case args[3] == "K" && len(args) > 4 && args[4] != nil:
		a.axes = args[4]
	case args[3] == "K":
	default:
		return nil, fmt.Errorf("an array whose order is a %s", KindOf(args[3]))
	}
	return a, nil
}

// View is the tensor that an array is; nil when it holds no numbers.
func (a *Array) View(spend func(int64) error) (*strided.View, error) {
	if a.read {
		return a.view, nil
	}
	a.read = true
	if a.Kind = a.odd; a.Kind != "" {
		return nil, nil
	}
	if list, ok := a.data.(*pickle.List); ok {
		a.Kind, a.List = "of objects", list
		return nil, nil
	}
	descr, err := descrOf(a.dtype)
	if err != nil {
		return nil, err
	}
	dt, big := npz.DType(descr)
	if strings.HasSuffix(descr, "V2") { // in a pickle bf16 says so
		dt = tensor.Invalid
	}
	if c, ok := strings.CutPrefix(descr, "<."); ok {
		dt = strided.DTypes[c]
	}
	if dt == tensor.Invalid {
		a.Words = isWords(descr)
		if a.Kind = "of type " + strconv.Quote(descr[:min(len(descr), 40)]); descr == "" {
			a.Kind = "of a structured type"
		}
		return nil, nil
	}
	a.view, err = a.of(dt, big, spend)
	return a.view, err
}

// isWords says that a type is that of texts, dates or spans of time.
func isWords(descr string) bool { return len(descr) > 1 && strings.IndexByte("USMm", descr[1]) >= 0 }

func (a *Array) of(dt tensor.DType, big bool, spend func(int64) error) (*strided.View, error) {
	shape, err := Ints(a.shape)
	if err != nil {
		return nil, fmt.Errorf("shape: %w", err)
	}
	v := &strided.View{DType: dt, Shape: shape}
	n, err := v.Shape.Numel()
	if err != nil {
		return nil, err
	}
	want, err := dt.Size(n)
	if err != nil {
		return nil, err
	}
	data, err := bytesOf(a.data, want, spend)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != want {
		return nil, fmt.Errorf("%v %v takes %d bytes, the pickle holds %d", dt, v.Shape, want, len(data))
	}
	v.Storage = &strided.Storage{Key: "numpy", DType: dt, Bytes: want, Numel: n, Data: data, Big: big}
	v.Stride = strided.Strides(v.Shape, a.turned)
	if a.axes != nil {
		axes, err := Ints(a.axes)
		if err != nil || len(axes) != len(shape) {
			return nil, errors.New("its axes are not those of its shape")
		}
		turned, stride := make(tensor.Shape, len(axes)), make([]int64, len(axes))
		seen := uint64(0)
		for i, from := range axes {
			if from < 0 || from >= int64(len(axes)) || seen>>from&1 == 1 {
				return nil, errors.New("its axes are not those of its shape")
			}
			seen |= 1 << from
			turned[i], stride[i] = shape[from], v.Stride[from]
		}
		v.Shape, v.Stride = turned, stride
	}
	return v, v.Check()
}

// bytesOf are the elements: bytes, or, from older Pythons, a text of one character each.
func bytesOf(v any, want int64, spend func(int64) error) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		if v == nil {
			return []byte{}, nil
		}
		return v, nil
	case string:
		if err := spend(int64(len(v))); err != nil {
			return nil, err
		}
		if int64(len(v)) == want { // a string of Python 2
			return []byte(v), nil
		}
		if b, ok := latin1(v); ok {
			return b, nil
		}
	}
	return nil, fmt.Errorf("its elements are a %s", KindOf(v))
}

// noCopies spends nothing.
func noCopies(int64) error { return errors.New("an array whose bytes are text") }

func latin1(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}

// encode is (text, encoding), by which older protocols write bytes.
func encode(args []any, spend func(int64) error) (any, error) {
	s, ok := args[0].(string)
	encoding := "utf-8"
	if len(args) > 1 {
		encoding, _ = args[1].(string)
	}
	if !ok {
		return nil, fmt.Errorf("the encoding of a %s", KindOf(args[0]))
	}
	if err := spend(int64(len(s))); err != nil {
		return nil, err
	}
	switch strings.ReplaceAll(strings.ToLower(encoding), "_", "-") {
	case "latin1", "latin-1", "iso-8859-1", "iso8859-1", "8859":
		if b, ok := latin1(s); ok {
			return b, nil
		}
		return nil, errors.New("a text that is not latin1")
	case "utf-8", "utf8", "ascii":
		return []byte(s), nil
	}
	return &pickle.Object{Class: &pickle.Class{Module: "_codecs", Name: "encode"}, Args: args}, nil
}

// rawBytes is bytes(), or bytearray(text, encoding), as older protocols write them.
func rawBytes(args []any, spend func(int64) error) (any, error) {
	if len(args) == 0 {
		return []byte{}, nil
	}
	switch v := args[0].(type) {
	case []byte:
		return v, nil
	case string:
		if len(args) > 1 {
			return encode(args, spend)
		}
	}
	return &pickle.Object{Class: &pickle.Class{Module: "builtins", Name: "bytes"}, Args: args}, nil
}

// descrOf writes a numpy.dtype as .npy files do: "<f4"; one that others have added as
// "<.bfloat16"; "" for a structured one.
func descrOf(v any) (string, error) {
	o, ok := v.(*pickle.Object)
	if !ok || o.Class.String() != "numpy.dtype" || len(o.Args) == 0 || len(o.State) > 1 {
		return "", fmt.Errorf("its dtype is a %s", KindOf(v))
	}
	var code string
	switch c := o.Args[0].(type) {
	case string:
		code = c
	case []byte:
		code = string(c)
	case *pickle.Class:
		if !strings.HasPrefix(c.Module, "ml_dtypes") || strided.DTypes[c.Name] == tensor.Invalid {
			return "<?" + c.Name, nil
		}
		return "<." + c.Name, nil
	default:
		return "", fmt.Errorf("its dtype is of a %s", KindOf(c))
	}
	order := ""
	if code != "" && strings.ContainsAny(code[:1], "<>|=") {
		order, code = code[:1], code[1:]
	}
	if len(o.State) == 1 {
		// (version, order, subtype, names, fields, size, alignment, flags)
		t, ok := o.State[0].(*pickle.Tuple)
		if !ok || t.Len() < 5 {
			return "", fmt.Errorf("its dtype's state is a %s", KindOf(o.State[0]))
		}
		if t.Get(2) != nil || t.Get(3) != nil {
			return "", nil
		}
		switch s := t.Get(1).(type) {
		case string:
			order = s
		case []byte:
			order = string(s)
		}
	}
	if order != ">" && order != "|" {
		order = "<"
	}
	return order + code, nil
}

// Scalar is a number or text of numpy's, as Python prints it.
type Scalar struct{ Text string }

// scalar is (dtype, bytes), or (dtype of objects, object).
func scalar(args []any, spend func(int64) error) (any, error) {
	descr, err := descrOf(args[0])
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(descr, "O") && len(args) > 1 {
		return args[1], nil
	}
	s := &Scalar{Text: "numpy scalar"}
	dt, big := npz.DType(descr)
	_, size := dt.Block()
	if len(args) < 2 || dt == tensor.Invalid && (!isWords(descr) || descr[1] == 'M' || descr[1] == 'm') {
		return s, nil
	}
	b, err := bytesOf(args[1], size, spend)
	if err != nil || dt != tensor.Invalid && int64(len(b)) != size {
		return nil, fmt.Errorf("a scalar %.40q of a %s", descr, KindOf(args[1]))
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if big || descr[0] == '>' {
		order = binary.BigEndian
	}
	switch dt {
	case tensor.Bool:
		s.Text = map[bool]string{false: "False", true: "True"}[b[0] != 0]
	case tensor.I8:
		s.Text = fmt.Sprint(int8(b[0]))
	case tensor.U8:
		s.Text = fmt.Sprint(b[0])
	case tensor.I16:
		s.Text = fmt.Sprint(int16(order.Uint16(b)))
	case tensor.U16:
		s.Text = fmt.Sprint(order.Uint16(b))
	case tensor.I32:
		s.Text = fmt.Sprint(int32(order.Uint32(b)))
	case tensor.U32:
		s.Text = fmt.Sprint(order.Uint32(b))
	case tensor.I64:
		s.Text = fmt.Sprint(int64(order.Uint64(b)))
	case tensor.U64:
		s.Text = fmt.Sprint(order.Uint64(b))
	case tensor.F32:
		s.Text = FloatText(float64(math.Float32frombits(order.Uint32(b))), 32)
	case tensor.F64:
		s.Text = FloatText(math.Float64frombits(order.Uint64(b)), 64)
	case tensor.Invalid:
		if err := spend(int64(min(len(b), 2*maxText))); err != nil {
			return nil, err
		}
		s.Text = textOf(b, descr[1] == 'U', order)
	}
	return s, nil
}

// textOf is a text of four bytes a character, or of one, up to the NULs that fill it.
func textOf(b []byte, wide bool, order binary.ByteOrder) string {
	if !wide {
		return strings.TrimRight(strings.ToValidUTF8(string(b[:min(len(b), maxText)]), "?"), "\x00")
	}
	out := make([]byte, 0, min(len(b), maxText))
	for ; len(b) >= 4 && len(out) < maxText; b = b[4:] {
		out = utf8.AppendRune(out, rune(order.Uint32(b)))
	}
	return strings.TrimRight(string(out), "\x00")
}

// maxText is where the text of a scalar ends: no path is longer.
const maxText = 8192

// FloatText writes a float as Python's repr does: with an exponent below 1e-4 and from
// 1e16 on, else with a point.
func FloatText(k float64, bits int) string {
	switch a := math.Abs(k); {
	case math.IsNaN(k):
		return "nan"
	case math.IsInf(k, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(k, 'g', -1, 64)), "+")
	case a >= 1e16 || a < 1e-4 && a > 0:
		return strconv.FormatFloat(k, 'e', -1, bits)
	}
	s := strconv.FormatFloat(k, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
