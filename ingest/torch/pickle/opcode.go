package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// argument is how an opcode's argument is written after it.
type argument uint8

const (
	noArg  argument = iota
	u1              // one byte
	u2              // two bytes, little-endian
	u4              // four
	u8              // eight
	line            // text up to a newline
	lines           // two such
	count1          // a length of one byte, then that many
	count4          // of four
	count8          // of eight
)

// opcode is one instruction. A refused one carries the reason.
type opcode struct {
	name   string
	arg    argument
	refuse string
}

// The refusals that several opcodes share.
const (
	noExtension = "needs a registry of classes that only the writer has"
	noBuffers   = "refers to a buffer outside the file"
	noOldClass  = "instantiates a class in a way that torch.save never writes"
)

// opcodes are those of protocols 0 to 5, as pickletools names them.
var opcodes = [256]opcode{
	'(': {name: "MARK"}, '.': {name: "STOP"}, '0': {name: "POP"}, '1': {name: "POP_MARK"}, '2': {name: "DUP"},
	'F': {name: "FLOAT", arg: line}, 'I': {name: "INT", arg: line}, 'L': {name: "LONG", arg: line},
	'J': {name: "BININT", arg: u4}, 'K': {name: "BININT1", arg: u1}, 'M': {name: "BININT2", arg: u2},
	'G': {name: "BINFLOAT", arg: u8}, 'N': {name: "NONE"},
	'Q': {name: "BINPERSID"}, 'P': {name: "PERSID", arg: line, refuse: "names a storage as text, which torch.save never writes"},
	'R': {name: "REDUCE"}, 'b': {name: "BUILD"}, 'c': {name: "GLOBAL", arg: lines},
	'S': {name: "STRING", arg: line}, 'T': {name: "BINSTRING", arg: count4}, 'U': {name: "SHORT_BINSTRING", arg: count1},
	'V': {name: "UNICODE", arg: line}, 'X': {name: "BINUNICODE", arg: count4},
	'a': {name: "APPEND"}, 'e': {name: "APPENDS"}, 's': {name: "SETITEM"}, 'u': {name: "SETITEMS"},
	'd': {name: "DICT"}, '}': {name: "EMPTY_DICT"}, 'l': {name: "LIST"}, ']': {name: "EMPTY_LIST"},
	't': {name: "TUPLE"}, ')': {name: "EMPTY_TUPLE"},
	'g': {name: "GET", arg: line}, 'h': {name: "BINGET", arg: u1}, 'j': {name: "LONG_BINGET", arg: u4},
	'p': {name: "PUT", arg: line}, 'q': {name: "BINPUT", arg: u1}, 'r': {name: "LONG_BINPUT", arg: u4},
	'i': {name: "INST", arg: lines, refuse: noOldClass}, 'o': {name: "OBJ", refuse: noOldClass},

	0x80: {name: "PROTO", arg: u1}, 0x81: {name: "NEWOBJ"},
	0x82: {name: "EXT1", arg: u1, refuse: noExtension}, 0x83: {name: "EXT2", arg: u2, refuse: noExtension},
	0x84: {name: "EXT4", arg: u4, refuse: noExtension},
	0x85: {name: "TUPLE1"}, 0x86: {name: "TUPLE2"}, 0x87: {name: "TUPLE3"},
	0x88: {name: "NEWTRUE"}, 0x89: {name: "NEWFALSE"},
	0x8a: {name: "LONG1", arg: count1}, 0x8b: {name: "LONG4", arg: count4},

	'B': {name: "BINBYTES", arg: count4}, 'C': {name: "SHORT_BINBYTES", arg: count1},

	0x8c: {name: "SHORT_BINUNICODE", arg: count1}, 0x8d: {name: "BINUNICODE8", arg: count8},
	0x8e: {name: "BINBYTES8", arg: count8}, 0x8f: {name: "EMPTY_SET"}, 0x90: {name: "ADDITEMS"},
	0x91: {name: "FROZENSET"}, 0x92: {name: "NEWOBJ_EX"}, 0x93: {name: "STACK_GLOBAL"},
	0x94: {name: "MEMOIZE"}, 0x95: {name: "FRAME", arg: u8},

	0x96: {name: "BYTEARRAY8", arg: count8},
	0x97: {name: "NEXT_BUFFER", refuse: noBuffers}, 0x98: {name: "READONLY_BUFFER", refuse: noBuffers},
}

// op is one decoded instruction at data[pos:end].
type op struct {
	code     byte
	pos, end int
	num      uint64 // u1 … u8
	arg      []byte // counted bytes, or the line without its newline
	arg2     []byte // the second line
}

// maxLine bounds the text of a line argument: names and numbers, no data.
const maxLine = 1 << 16

// TruncatedError says that data ends before the pickle does, and how many bytes
// the next opcode needs at least.
type TruncatedError struct {
	Pos  int    // of the opcode
	Name string // of the opcode
	Need uint64 // length of data that would hold it
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("byte %d: %s needs bytes up to %d, past the end", e.Pos, e.Name, e.Need)
}

// decode reads the instruction at pos. Lengths are compared with what is there
// before anything is sliced.
func decode(data []byte, pos int) (op, error) {
	if pos >= len(data) {
		return op{}, &TruncatedError{pos, "the next opcode", uint64(pos) + 1}
	}
	o := op{code: data[pos], pos: pos, end: pos + 1}
	info := &opcodes[o.code]
	if info.name == "" {
		return o, fmt.Errorf("byte %d: unknown opcode %#02x", pos, o.code)
	}
	if info.refuse != "" {
		return o, fmt.Errorf("byte %d: %s %s", pos, info.name, info.refuse)
	}
	need := func(n uint64) ([]byte, error) {
		if n > uint64(len(data)-o.end) {
			return nil, &TruncatedError{pos, info.name, satAdd(uint64(o.end), n)}
		}
		b := data[o.end : o.end+int(n)]
		o.end += int(n)
		return b, nil
	}
	var err error
	var b []byte
	switch info.arg {
	case noArg:
	case u1, count1:
		if b, err = need(1); err == nil {
			o.num = uint64(b[0])
		}
	case u2:
		if b, err = need(2); err == nil {
			o.num = uint64(binary.LittleEndian.Uint16(b))
		}
	case u4, count4:
		if b, err = need(4); err == nil {
			o.num = uint64(binary.LittleEndian.Uint32(b))
		}
	case u8, count8:
		if b, err = need(8); err == nil {
			o.num = binary.LittleEndian.Uint64(b)
		}
	case line, lines:
		if o.arg, err = nextLine(data, &o, info.name); err == nil && info.arg == lines {
			o.arg2, err = nextLine(data, &o, info.name)
		}
	}
	if err != nil {
		return o, err
	}
	switch info.arg {
	case count4:
		if (o.code == 'T' || o.code == 0x8b) && o.num > 1<<31-1 {
			return o, fmt.Errorf("byte %d: %s of negative length", pos, info.name)
		}
		o.arg, err = need(o.num)
	case count1, count8:
		o.arg, err = need(o.num)
	}
	return o, err
}

func nextLine(data []byte, o *op, name string) ([]byte, error) {
	rest := data[o.end:]
	rest = rest[:min(len(rest), maxLine+1)]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 && len(rest) > maxLine {
		return nil, fmt.Errorf("byte %d: %s with a line longer than %d", o.pos, name, maxLine)
	}
	if i < 0 {
		return nil, &TruncatedError{o.pos, name, uint64(len(data)) + 1}
	}
	o.end += i + 1
	return rest[:i], nil
}

func satAdd(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<64 - 1
}

// Truncated reports that err says data ended too early, and how many bytes are
// needed at least.
func Truncated(err error) (need uint64, ok bool) {
	if t, ok := errors.AsType[*TruncatedError](err); ok {
		return t.Need, true
	}
	return 0, false
}
