package pickle

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func load(data []byte) (*Result, error) {
	return Load(data, Options{
		Budget: 16 << 20,
		Class: func(module, name string, _ func(int64) error) (*Class, error) {
			return &Class{Module: module, Name: name}, nil
		},
		Persistent: func(any) (any, error) { return nil, nil },
	})
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefused gives what the opcode machine answers with a panic, with gigabytes
// or with a wrong value: each is an error that names byte and opcode.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ hex, want string }{
		"opcode 255":          {"ff", "byte 0: unknown opcode 0xff"},
		"odd DICT":            {"284e64 2e", "odd number"},
		"odd SETITEMS":        {"7d284e75 2e", "odd number"},
		"BINBYTES8 2^40":      {"8e 0000000000010000 2e", "BINBYTES8 needs bytes"},
		"BINUNICODE8 2^40":    {"8d 0000000000010000 2e", "BINUNICODE8 needs bytes"},
		"BYTEARRAY8 2^40":     {"96 0000000000010000 2e", "BYTEARRAY8 needs bytes"},
		"FRAME 2^40":          {"95 0000000000010000 2e", "FRAME needs bytes"},
		"BINBYTES8 2^63":      {"8e 0000000000000080 2e", "BINBYTES8 needs bytes"},
		"BINBYTES8 2^64-1":    {"8e ffffffffffffffff 2e", "BINBYTES8 needs bytes"},
		"FRAME 2^64-1":        {"95 ffffffffffffffff 2e", "FRAME needs bytes"},
		"BINBYTES 4 GiB":      {"42 ffffffff", "BINBYTES needs bytes"},
		"BINUNICODE 4 GiB":    {"58 ffffffff", "BINUNICODE needs bytes"},
		"BINSTRING negative":  {"54 ffffffff", "negative length"},
		"LONG4 2 GiB":         {"8b ffffff7f", "LONG4 needs bytes"},
		"LONG4 negative":      {"8b ffffffff", "negative length"},
		"LONG1 of 65 bytes":   {"8a41" + strings.Repeat("01", 65) + "2e", "more than 64"},
		"GET unset":           {"6805 2e", "memo entry 5"},
		"PUT far":             {"4e 72 00000080 2e", "memo entry 2147483648"},
		"frame splits opcode": {"8004 95 0100000000000000 4b01 2e", "crosses the end of its frame"},
		"frame in frame":      {"8004 95 0a00000000000000 95 0100000000000000 4e 2e", "inside the frame"},
		"empty":               {"", "past the end"},
		"no value":            {"2e", "0 values"},
		"two values":          {"4e4e2e", "2 values"},
		"open mark":           {"284e2e", "mark still open"},
		"underflow":           {"612e", "more values than the stack"},
		"through a mark":      {"5d 28 4e 61 2e", "more values than the stack"},
		"tuple past a mark":   {"4e 28 85 2e", "more values than the stack"},
		"no mark":             {"742e", "mark that was never set"},
		"append to None":      {"4e4e612e", "takes no such items"},
		"call of a str":       {"8c0161 29 52 2e", "neither class nor function"},
		"state of a dict":     {"7d7d622e", "has none"},
		"EXT1":                {"82012e", "registry of classes"},
		"NEXT_BUFFER":         {"972e", "outside the file"},
		"INST":                {"28 69 610a620a 2e", "never writes"},
		"OBJ":                 {"28 63610a620a 6f 2e", "never writes"},
		"PERSID":              {"50 310a 2e", "never writes"},
		"module no UTF-8":     {"63 ff0a610a 2e", "invalid"},
		"text no UTF-8":       {"8c01ff2e", "not UTF-8"},
		"protocol 6":          {"80064e2e", "beyond protocol"},
	} {
		result, err := load(fromHex(t, c.hex))
		if err == nil {
			t.Errorf("%s: was read as a %T", name, result.Value)
		} else if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "byte ") {
			t.Errorf("%s: refused with %q, want %q", name, err, c.want)
		}
	}
}

// TestRead gives what is valid and the opcode machine misreads or panics on.
func TestRead(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 64)
	for name, c := range map[string]struct {
		hex  string
		want any
	}{
		"0L of Python 2":          {"8a002e", 0},
		"empty LONG4":             {"8b000000002e", 0},
		"LONG1 of nine bytes, 1":  {"8a09 010000000000000000 2e", 1},
		"LONG1 -1":                {"8a01ff2e", -1},
		"LONG1 2^64":              {"8a09 000000000000000001 2e", huge},
		"set of bytes":            {"8f 28 430161 90 2e", &List{[]byte("a")}},
		"frozenset of bytes":      {"28 430161 91 2e", &Tuple{[]byte("a")}},
		"dict with a bytes key":   {"7d 430161 4e 73 2e", &Dict{{Key: []byte("a")}}},
		"escapes of STRING":       {hex.EncodeToString([]byte(`S'a\n\x41\101\q'` + "\n.")), "a\nAA\\q"},
		"escapes of UNICODE":      {hex.EncodeToString([]byte(`V\u00e9\U0001f600` + "\n.")), "é😀"},
		"UNICODE in Latin-1":      {"56 e9 0a 2e", "é"},
		"True of protocol 0":      {hex.EncodeToString([]byte("I01\n.")), true},
		"False of protocol 0":     {hex.EncodeToString([]byte("I00\n.")), false},
		"LONG of protocol 0":      {hex.EncodeToString([]byte("L-12L\n.")), -12},
		"surrogate":               {"8c03 eda080 2e", "\xed\xa0\x80"},
		"POP of a mark":           {"4e 28 30 2e", nil},
		"DUP":                     {"4b01 32 86 2e", &Tuple{1, 1}},
		"memo set twice":          {"4b01 7100 30 4b02 7100 30 6800 2e", 2},
		"frame":                   {"8004 95 0200000000000000 4e 2e", nil},
		"MEMOIZE after a far PUT": {"4b01 7101 30 4b02 94 30 6801 2e", 2},
	} {
		result, err := load(fromHex(t, c.hex))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(result.Value, c.want) {
			t.Errorf("%s: another value, of type %T", name, result.Value)
		}
	}
}

// TestOwnClasses names the globals that the opcode machine answers by itself:
// every one is asked for here.
func TestOwnClasses(t *testing.T) {
	for _, g := range []string{
		"collections OrderedDict", "builtins list", "builtins dict", "__builtin__ object",
		"array _array_reconstructor", "copy_reg _reconstructor", "copyreg _reconstructor",
	} {
		module, name, _ := strings.Cut(g, " ")
		for protocol, data := range map[string]string{
			"GLOBAL":       "c" + module + "\n" + name + "\n.",
			"STACK_GLOBAL": "\x8c" + string(rune(len(module))) + module + "\x8c" + string(rune(len(name))) + name + "\x93.",
		} {
			result, err := load([]byte(data))
			if err != nil {
				t.Errorf("%s by %s: %v", g, protocol, err)
				continue
			}
			if c, ok := result.Value.(*Class); !ok || c.Module != module || c.Name != name {
				t.Errorf("%s by %s is a %T", g, protocol, result.Value)
			}
		}
	}
}

// TestFloods are small or repetitive inputs that ask for much: each ends with an
// error, having allocated no more than the budget and a share of the input.
func TestFloods(t *testing.T) {
	const n = 4 << 20
	doubling := []byte("]q\x00")
	for range 60 {
		doubling = append(doubling, "0(h\x00h\x00tq\x00"...) // a tuple of itself twice
	}
	doubling = append(doubling, '.')
	for name, c := range map[string]struct {
		data []byte
		ok   bool
	}{
		"marks":        {bytes.Repeat([]byte("("), n), false},
		"dicts":        {bytes.Repeat([]byte("}"), n), false},
		"sets":         {bytes.Repeat([]byte("\x8f"), n), false},
		"dicts kept":   {append(append([]byte("]"), bytes.Repeat([]byte("("+strings.Repeat("}", 998)+"e"), n/1000)...), '.'), false},
		"LONG4 of 1 M": {append([]byte("\x8b\x00\x00\x10\x00"), make([]byte, 1<<20)...), false},
		"2^40 bytes":   {[]byte("\x8e\x00\x00\x00\x00\x00\x01\x00\x00."), false},
		"shared":       {doubling, true},
		"cyclic":       {[]byte("]q\x00h\x00a."), true},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(c.data)
		runtime.ReadMemStats(&after)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", name, err)
		}
		limit := uint64(64<<20 + 16*len(c.data))
		if len(c.data) < 1000 {
			limit = 1 << 20
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > limit {
			t.Errorf("%s: %d bytes allocated, more than %d", name, got, limit)
		}
	}
}

// TestPosition reads the first of two pickles, and says how much it took.
func TestPosition(t *testing.T) {
	result, err := load([]byte("\x80\x02K\x01.K\x02."))
	if err != nil || result.Size != 5 || result.Value != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	for n := range 5 {
		_, err := load([]byte("\x80\x02K\x01.")[:n])
		if need, cut := Truncated(err); !cut || need <= uint64(n) {
			t.Errorf("cut at %d: %v needs %d", n, err, need)
		}
	}
}
