package pickle

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// cases are pickles, what they mean, or a part of the refusal. Each line that
// names gopickle crashed, hung or misled it.
var cases = []struct {
	name, data, want, fails string
}{
	{name: "none", data: "N.", want: "None"},
	{name: "protocol 5 and a frame", data: "\x80\x05\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x07.", want: "7"},
	{name: "two frames", data: "\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x07\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x08\x86.", want: "(7, 8)"},
	{name: "negative", data: "J\xff\xff\xff\xff.", want: "-1"},
	{name: "two bytes", data: "M\x01\x02.", want: "513"},
	{name: "float", data: "G\x3f\xf8\x00\x00\x00\x00\x00\x00.", want: "1.5"},
	{name: "float as text", data: "F-2.5\n.", want: "-2.5"},
	{name: "bool as int", data: "I01\nI00\n\x86.", want: "(True, False)"},
	{name: "int as text", data: "I-12\nL34L\n\x86.", want: "(-12, 34)"},
	{name: "int beyond 64 bits as text", data: "I18446744073709551616\n.", want: "18446744073709551616"},
	{name: "LONG1 without bytes: gopickle panics", data: "\x8a\x00.", want: "0"},
	{name: "LONG4 without bytes: gopickle panics", data: "\x8b\x00\x00\x00\x00.", want: "0"},
	{name: "LONG1 of nine bytes: gopickle makes a big number", data: "\x8a\x09\x05\x00\x00\x00\x00\x00\x00\x00\x00.", want: "5"},
	{name: "LONG1 of 2^63", data: "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00.", want: "9223372036854775808"},
	{name: "LONG1 of -2^63", data: "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", want: "-9223372036854775808"},
	{name: "LONG1 negative and long", data: "\x8a\x0a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff.", want: "-2"},
	{name: "escapes: gopickle does not decode them", data: `S'a\n\'\x41\101\q'` + "\n.", want: `"a\n'AA\\q"`},
	{name: "raw unicode: gopickle does not decode it", data: "Vx\\u00e9\xe9\\U0001f600\n.", want: `"xéé😀"`},
	{name: "Python 2 text", data: "U\x03abc.", want: `"abc"`},
	{name: "Python 2 bytes", data: "T\x02\x00\x00\x00\xff\xfe.", want: `b"\xff\xfe"`},
	{name: "surrogate", data: "\x8c\x04\xed\xa0\x80x.", want: `"\xed\xa0\x80x"`},
	{name: "bytes", data: "C\x01aB\x01\x00\x00\x00b\x8e\x01\x00\x00\x00\x00\x00\x00\x00c\x87.", want: `(b"a", b"b", b"c")`},
	{name: "bytearray", data: "\x96\x01\x00\x00\x00\x00\x00\x00\x00c.", want: `b"c"`},
	{name: "lists", data: "](K\x01K\x02e]K\x03a(K\x04l\x87.", want: "([1, 2], [3], [4])"},
	{name: "dicts", data: "}(K\x01K\x02u}K\x03K\x04s(K\x05K\x06d\x87.", want: "({1: 2}, {3: 4}, {5: 6})"},
	{name: "tuples", data: ")(K\x01t\x86.", want: "((), (1))"},
	{name: "set of bytes: gopickle panics", data: "\x8f(C\x01a\x90.", want: `[b"a"]`},
	{name: "frozenset of bytes: gopickle panics", data: "(C\x01a\x91.", want: `(b"a")`},
	{name: "memo", data: "K\x01q\x00K\x02q\x01h\x00h\x01\x86\x85\x86\x86.", want: "(1, (2, ((1, 2))))", fails: ""},
	{name: "memo as text", data: "K\x01p7\n0K\x02p1\n0g7\ng1\n\x86.", fails: "after 2 opcodes"},
	{name: "memo set anew", data: "K\x01q\x000K\x02q\x000h\x00.", want: "2"},
	{name: "MEMOIZE", data: "K\x01\x94K\x02\x94h\x00h\x01\x86\x86\x86.", want: "(1, (2, (1, 2)))"},
	{name: "many memo entries", data: strings.Repeat("N\x940", 300) + "K\x05\x940j\x2c\x01\x00\x00.", want: "5"},
	{name: "DUP", data: "]2\x86.", want: "([], [])"},
	{name: "POP of a mark", data: "K\x01(0.", want: "1"},
	{name: "POP_MARK", data: "K\x01(NN1.", want: "1"},
	{name: "object", data: "cm\nC\n(K\x01tR.", want: "m.C(1)"},
	{name: "new object with state", data: "cm\nC\n)\x81}K\x01K\x02sb.", want: "m.C(){1: 2}"},
	{name: "new object with keywords", data: "cm\nC\n)}\x92.", want: "m.C({})"},
	{name: "STACK_GLOBAL", data: "\x8c\x01m\x8c\x01C\x93)R.", want: "m.C()"},
	{name: "STACK_GLOBAL by memo", data: "\x8c\x01m\x94\x8c\x01C\x94\x93h\x00h\x01\x93\x86.", want: "(m.C, m.C)"},
	{name: "gopickle's own OrderedDict", data: "ccollections\nOrderedDict\n(](K\x01K\x02etR.", want: "collections.OrderedDict([1, 2])"},
	{name: "gopickle's own array: panics", data: "carray\n_array_reconstructor\n(K\x01tR.", want: "array._array_reconstructor(1)"},
	{name: "gopickle's own list as callable", data: "cbuiltins\nlist\n(C\x01atR.", want: `builtins.list(b"a")`},
	{name: "filled object", data: "cm\nC\n)R(K\x01K\x02uK\x03a.", want: "m.C()[3]{1: 2}"},
	{name: "persistent", data: "K\x09Q.", want: "<9>"},
	{name: "new object of a persistent id that is no class", data: "K\x09Q)\x81.", fails: "byte"},
	{name: "made", data: "ctorch\nmake\n(K\x01K\x02tR.", want: "made 2"},
	{name: "cyclic list: gopickle's String overflows the stack", data: "]q\x00h\x00a.", want: "[[[[[[[[…]]]]]]]]"},

	{name: "empty", fails: "past the end"},
	{name: "no STOP", data: "N", fails: "past the end"},
	{name: "0xff: gopickle panics", data: "\xff.", fails: "unknown opcode 0xff"},
	{name: "protocol 9", data: "\x80\x09N.", fails: "beyond protocol 5"},
	{name: "odd DICT: gopickle panics", data: "(Nd.", fails: "odd number"},
	{name: "odd SETITEMS: gopickle panics", data: "}(Nu.", fails: "odd number"},
	{name: "STOP without a value", data: ".", fails: "0 values"},
	{name: "STOP with two", data: "NN.", fails: "2 values"},
	{name: "STOP below a mark", data: "N(.", fails: "mark"},
	{name: "POP of nothing", data: "0N.", fails: "mark"},
	{name: "POP_MARK without one", data: "N1.", fails: "mark"},
	{name: "TUPLE2 across a mark", data: "N(N\x86.", fails: "stack"},
	{name: "unset memo: gopickle gives nil", data: "h\x05.", fails: "nothing has set"},
	{name: "PUT of nothing", data: "q\x00N.", fails: "stack"},
	{name: "memo 2^32-1", data: "Nr\xff\xff\xff\xff.", fails: "memo entry 4294967295"},
	{name: "BINBYTES8 of 2^40: gopickle dies", data: "\x8e\x00\x00\x00\x00\x00\x01\x00\x00.", fails: "past the end"},
	{name: "BINUNICODE8 of 2^63-1", data: "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", fails: "past the end"},
	{name: "BYTEARRAY8 of 2^64-1", data: "\x96\xff\xff\xff\xff\xff\xff\xff\xff.", fails: "past the end"},
	{name: "BINBYTES of 4 GiB", data: "B\xff\xff\xff\xff.", fails: "past the end"},
	{name: "BINSTRING negative", data: "T\xff\xff\xff\xff.", fails: "negative"},
	{name: "LONG4 negative", data: "\x8b\xff\xff\xff\xff.", fails: "negative"},
	{name: "LONG4 of 65 bytes: gopickle is quadratic", data: "\x8b\x41\x00\x00\x00" + strings.Repeat("a", 65) + ".", fails: "more than 64"},
	{name: "LONG of many digits", data: "L" + strings.Repeat("9", 200) + "\n.", fails: "200 digits"},
	{name: "LONG with more than digits", data: "L1_0\n.", fails: "digits"},
	{name: "FLOAT of text", data: "Fabc\n.", fails: "FLOAT of"},
	{name: "frame of 2^40: gopickle dies", data: "\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00N.", fails: "past the end"},
	{name: "opcode across a frame's end", data: "\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00K\x01.", fails: "crosses the end"},
	{name: "frame in a frame", data: "\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x95\x01\x00\x00\x00\x00\x00\x00\x00N...", fails: "inside the frame"},
	{name: "marks: gopickle takes 350 bytes for each", data: strings.Repeat("(", 1001), fails: "1000 marks"},
	{name: "stack", data: strings.Repeat("N", maxStack+1), fails: "on the stack"},
	{name: "text that is not UTF-8", data: "\x8c\x01\xff.", fails: "UTF-8"},
	{name: "STRING without quotes", data: "Sabc\n.", fails: "quotes"},
	{name: "EXT1", data: "\x82\x01.", fails: "registry"},
	{name: "NEXT_BUFFER", data: "\x97.", fails: "buffer"},
	{name: "INST", data: "(im\nC\n.", fails: "INST"},
	{name: "OBJ", data: "(cm\nC\no.", fails: "OBJ"},
	{name: "PERSID", data: "Pabc\n.", fails: "PERSID"},
	{name: "dotted name that is refused", data: "\x8c\x02os\x8c\x08a.system\x93.", fails: "refused os.a.system"},
	{name: "dotted name", data: "\x8c\x01m\x8c\x03C.D\x93)\x81.", want: "m.C.D()"},
	{name: "module with a control character", data: "\x8c\x02o\n\x8c\x01a\x93.", fails: "module"},
	{name: "empty name", data: "cm\n\n.", fails: "name"},
	{name: "STACK_GLOBAL of numbers", data: "K\x01K\x02\x93.", fails: "two strings"},
	{name: "refused class", data: "cos\nsystem\n.", fails: "refused os.system"},
	{name: "call of a list", data: "])R.", fails: "neither class nor function"},
	{name: "call of an object", data: "cm\nC\n)R)R.", want: "m.C.__call__(m.C())"},
	{name: "instance of an object", data: "cm\nC\n)R)\x81.", fails: "neither class nor function"},
	{name: "REDUCE without a tuple", data: "cm\nC\n]R.", fails: "tuple"},
	{name: "NEWOBJ of a list", data: "])\x81.", fails: "neither class nor function"},
	{name: "NEWOBJ_EX without a dict", data: "cm\nC\n))\x92.", fails: "dict"},
	{name: "BUILD of a class", data: "cm\nC\n}b.", fails: "state"},
	{name: "BUILD of a list", data: "]}b.", fails: "state"},
	{name: "APPEND to a dict", data: "}Na.", fails: "no such items"},
	{name: "SETITEM in a list", data: "]NNs.", fails: "no such items"},
	{name: "ADDITEMS to a list", data: "](N\x90.", fails: "no such items"},
	{name: "made of wrong arguments", data: "ctorch\nmake\n)R.", fails: "no arguments"},
	{name: "persistent refused", data: "NQ.", fails: "no number"},
}

func options() Options {
	return Options{
		Budget: 1 << 20,
		Class: func(module, name string, _ func(int64) error) (*Class, error) {
			c := &Class{Module: module, Name: name}
			switch {
			case module == "os":
				return nil, fmt.Errorf("refused %s", c)
			case module == "torch":
				c.Make = func(args []any) (any, error) {
					if len(args) == 0 {
						return nil, errors.New("no arguments")
					}
					return &made{fmt.Sprint("made ", len(args))}, nil
				}
			}
			return c, nil
		},
		Persistent: func(id any) (any, error) {
			if n, ok := id.(int); ok {
				return &made{fmt.Sprintf("<%d>", n)}, nil
			}
			return nil, errors.New("no number")
		},
	}
}

type made struct{ text string }

func TestLoad(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := Load([]byte(c.data+"trailing"), options())
			if strings.HasPrefix(c.fails, "past the end") {
				r, err = Load([]byte(c.data), options())
				if _, cut := Truncated(err); !cut {
					t.Errorf("%v is no truncation", err)
				}
			}
			if err != nil {
				if c.fails == "" || !strings.Contains(err.Error(), c.fails) || !strings.HasPrefix(err.Error(), "byte ") {
					t.Errorf("refused with %q, want %q", err, c.fails)
				}
				return
			}
			if got := show(r.Value, 8); c.fails != "" || got != c.want {
				t.Errorf("%s, want %s %s", got, c.want, c.fails)
			}
			if r.Size != len(c.data) {
				t.Errorf("took %d bytes of %d", r.Size, len(c.data))
			}
		})
	}
}

// show writes a value as Python would, as deep as depth.
func show(v any, depth int) string {
	if depth == 0 {
		return "…"
	}
	list := func(items []any) string {
		var s []string
		for _, x := range items {
			s = append(s, show(x, depth-1))
		}
		return strings.Join(s, ", ")
	}
	pairs := func(pairs []Pair) string {
		var s []string
		for _, p := range pairs {
			s = append(s, show(p.Key, depth-1)+": "+show(p.Value, depth-1))
		}
		return "{" + strings.Join(s, ", ") + "}"
	}
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case int, float64, *big.Int:
		return fmt.Sprint(v)
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("b%q", v)
	case *Tuple:
		return "(" + list(*v) + ")"
	case *List:
		return "[" + list(*v) + "]"
	case *Dict:
		return pairs(*v)
	case *Class:
		return v.String()
	case *made:
		return v.text
	case *Object:
		s := v.Class.String() + "(" + list(v.Args) + ")"
		if v.Items != nil {
			s += "[" + list(v.Items) + "]"
		}
		if v.Pairs != nil {
			s += pairs(v.Pairs)
		}
		for _, x := range v.State {
			s += show(x, depth-1)
		}
		return s
	}
	return fmt.Sprintf("%T", v)
}
