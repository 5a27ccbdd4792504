package pickle

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

// step runs one opcode: it checks it, simulates its effect, and in the second
// run emits its plainer form.
func (m *machine) step() error {
	if err := m.steps.Next(); err != nil {
		return err
	}
	o, err := decode(m.data, m.pos)
	if err != nil {
		return err
	}
	if err := m.frames(o); err != nil {
		return fmt.Errorf("byte %d: %s %w", o.pos, opcodes[o.code].name, err)
	}
	m.ops++
	if err := m.apply(o); err != nil {
		return fmt.Errorf("byte %d: %s %w", o.pos, opcodes[o.code].name, err)
	}
	m.last, m.pos = m.pos, o.end
	return nil
}

// frames keeps track of the frames of protocol 4. They carry no meaning, but a
// reader that heeds them must not see another pickle than one that does not.
func (m *machine) frames(o op) error {
	if m.frame != 0 && o.pos >= m.frame {
		m.frame = 0
	}
	if m.frame != 0 && o.end > m.frame {
		return fmt.Errorf("crosses the end of its frame at %d", m.frame)
	}
	if o.code != 0x95 {
		return nil
	}
	if m.frame != 0 {
		return fmt.Errorf("begins inside the frame that ends at %d", m.frame)
	}
	if o.num > uint64(len(m.data)-o.end) {
		return &TruncatedError{o.pos, "FRAME", satAdd(uint64(o.end), o.num)}
	}
	m.frame = o.end + int(o.num)
	return nil
}

func (m *machine) apply(o op) error {
	switch o.code {
	case 0x80: // PROTO
		if o.num > maxProtocol {
			return fmt.Errorf("%d is beyond protocol %d", o.num, maxProtocol)
		}
		return nil
	case 0x95: // FRAME
		return nil
	case '.':
		return m.stop()

	case 'N', 0x88, 0x89:
		m.copy(o)
		return m.made(scalar, 0)
	case 'K', 'M', 'J', 'G':
		m.copy(o)
		return m.made(scalar, costNumber)
	case 'I', 'L', 'F', 0x8a, 0x8b:
		return m.number(o)
	case 'X', 0x8c, 0x8d, 'S', 'T', 'U', 'V', 'B', 'C', 0x8e, 0x96:
		return m.literal(o)

	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		return m.memory(o)

	case '(':
		if len(m.marks) >= maxMarks {
			return fmt.Errorf("opens more than %d marks", maxMarks)
		}
		m.marks = append(m.marks, len(m.stack))
		m.copy(o)
		return nil
	case '0', '1', '2':
		return m.shuffle(o)

	case 'c':
		return m.lookup(string(o.arg), string(o.arg2))
	case 0x93:
		return m.stackGlobal()
	case 'Q', 'R', 'b', 0x81, 0x92:
		return m.call(o)
	}
	return m.collect(o)
}

// copy emits an opcode as it is.
func (m *machine) copy(o op) {
	if m.emit {
		m.out = append(m.out, m.data[o.pos:o.end]...)
	}
}

func (m *machine) write(b ...byte) {
	if m.emit {
		m.out = append(m.out, b...)
	}
}

// counted emits a literal whose opcode takes a length of four bytes.
func (m *machine) counted(code byte, b []byte) {
	if m.emit {
		n := len(b)
		m.out = append(m.out, code, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		m.out = append(m.out, b...)
	}
}

func (m *machine) emitMemo(short, long byte, index uint32) {
	if index < 256 {
		m.write(short, byte(index))
	} else {
		m.write(long, byte(index), byte(index>>8), byte(index>>16), byte(index>>24))
	}
}

func (m *machine) stop() error {
	if len(m.marks) > 0 {
		return errors.New("with a mark still open")
	}
	if len(m.stack) != 1 {
		return fmt.Errorf("with %d values on the stack, want 1", len(m.stack))
	}
	m.stopped = true
	m.write('.')
	return nil
}

// number emits an integer or float as the binary opcode of the same value.
func (m *machine) number(o op) error {
	switch o.code {
	case 'F':
		if _, err := strconv.ParseFloat(string(o.arg), 64); err != nil {
			return fmt.Errorf("of %.40q", o.arg)
		}
		m.copy(o)
	case 0x8a, 0x8b:
		if len(o.arg) > maxLong {
			return fmt.Errorf("of %d bytes, more than %d", len(o.arg), maxLong)
		}
		m.long(o.arg)
	case 'I':
		if s := string(o.arg); s == "00" || s == "01" {
			m.write(0x88 + '1' - s[1])
			break
		}
		fallthrough
	case 'L':
		arg := o.arg
		if n := len(arg); o.code == 'L' && n > 0 && arg[n-1] == 'L' {
			arg = arg[:n-1]
		}
		v, err := decimal(arg)
		if err != nil {
			return fmt.Errorf("of %w", err)
		}
		m.long(twosComplement(v))
	}
	return m.made(scalar, costNumber+int64(len(o.arg)))
}

// long emits LONG1, in its shortest form when it is long or empty: gopickle makes
// an int of up to eight bytes and a big.Int of more, whatever the value, and
// panics without any.
func (m *machine) long(b []byte) {
	if len(b) > 0 && len(b) <= 8 {
		m.write(0x8a, byte(len(b)))
		m.write(b...)
		return
	}
	v := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		v.Lsh(v, 8).Or(v, big.NewInt(int64(b[i])))
	}
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	b = twosComplement(v)
	m.write(0x8a, byte(len(b)))
	m.write(b...)
}

// read gives the value of a string literal, and whether it is text.
func read(o op) (b []byte, isText bool, err error) {
	switch o.code {
	case 'B', 'C', 0x8e, 0x96:
		return o.arg, false, nil
	case 'S':
		b, err = unquote(o.arg)
		return b, validText(b), err
	case 'T', 'U': // a string of Python 2: text when it can be, as torch decodes it
		return o.arg, validText(o.arg), nil
	case 'V':
		b, err = rawUnicode(o.arg)
		return b, true, err
	}
	if !validText(o.arg) {
		return nil, false, errors.New("is not UTF-8")
	}
	return o.arg, true, nil
}

func (m *machine) literal(o op) error {
	b, isText, err := read(o)
	if err != nil {
		return err
	}
	own := costText + int64(len(b))
	if !isText {
		m.counted('B', b)
		return m.made(scalar, own)
	}
	m.counted('X', b)
	return m.push(slot{kind: text, ref: uint32(o.pos), cost: own}, own)
}

func (m *machine) memory(o op) error {
	index := o.num
	switch o.code {
	case 'p', 'g':
		i, err := strconv.ParseUint(string(o.arg), 10, 32)
		if err != nil {
			return fmt.Errorf("of memo entry %.40q", o.arg)
		}
		index = i
	case 0x94:
		index = uint64(m.memoLen)
	}
	switch o.code {
	case 'g', 'h', 'j':
		return m.get(index)
	}
	return m.put(index)
}

// shuffle is POP, POP_MARK and DUP.
func (m *machine) shuffle(o op) error {
	m.copy(o)
	switch {
	case o.code == '2':
		t, err := m.top()
		if err != nil {
			return err
		}
		t.held = true // two places hold it from now on
		return m.push(*t, 0)
	case o.code == '0' && len(m.stack) > m.fence():
		s, _ := m.pop(1)
		m.free(s[0])
		return nil
	}
	s, err := m.popMark() // Python's POP takes a mark, too
	for _, s := range s {
		m.free(s)
	}
	return err
}

func (m *machine) stackGlobal() error {
	s, err := m.pop(2)
	if err != nil {
		return err
	}
	if s[0].kind != text || s[1].kind != text {
		return errors.New("without two strings")
	}
	var names [2]string
	for i, s := range s {
		o, err := decode(m.data, int(s.ref))
		if err != nil {
			return err
		}
		b, _, err := read(o)
		if err != nil {
			return err
		}
		if len(b) > MaxName {
			return fmt.Errorf("with a name of %d bytes", len(b))
		}
		names[i] = string(b)
	}
	for _, s := range s {
		m.free(s)
	}
	m.write('0', '0')
	return m.lookup(names[0], names[1])
}
