package pickle

import (
	"errors"
	"fmt"
)

// collect is every opcode that makes or fills a container. Sets are emitted as
// lists and frozensets as tuples: gopickle keeps them as maps, which panic on
// keys that Python can hash and Go cannot.
func (m *machine) collect(o op) error {
	switch o.code {
	case ')':
		m.copy(o)
		return m.made(tuple, costTuple)
	case 0x85, 0x86, 0x87:
		m.copy(o)
		n := int(o.code - 0x84)
		s, err := m.pop(n)
		if err != nil {
			return err
		}
		return m.made(tuple, costTuple+int64(16*n), s...)
	case '}':
		m.copy(o)
		return m.made(dict, costDict)
	case ']':
		m.copy(o)
		return m.made(list, costList)
	case 0x8f:
		m.write(']')
		return m.made(set, costList)

	case 't', 'l', 0x91, 'd':
		s, err := m.popMark()
		if err != nil {
			return err
		}
		own := costMarked + int64(costItem*len(s))
		switch o.code {
		case 'l':
			m.write('l')
			return m.made(list, own, s...)
		case 'd':
			if len(s)%2 != 0 {
				return fmt.Errorf("of %d values, an odd number", len(s))
			}
			m.write('d')
			return m.made(dict, costDict+int64(costItem*len(s)), s...)
		}
		m.write('t')
		return m.made(tuple, own, s...)

	case 'a', 's':
		n := map[byte]int{'a': 1, 's': 2}[o.code]
		s, err := m.pop(n)
		if err != nil {
			return err
		}
		m.copy(o)
		return m.fill(o, s)
	case 'e', 'u', 0x90:
		s, err := m.popMark()
		if err != nil {
			return err
		}
		m.write(map[byte]byte{'e': 'e', 'u': 'u', 0x90: 'e'}[o.code])
		return m.fill(o, s)
	}
	return errors.New("is not understood")
}

// fill puts values into the container on top of the stack.
func (m *machine) fill(o op, s []slot) error {
	t, err := m.top()
	if err != nil {
		return err
	}
	want, each := list, int64(costItem)
	switch o.code {
	case 's', 'u':
		want, each = dict, costPair/2
		if len(s)%2 != 0 {
			return fmt.Errorf("of %d values, an odd number", len(s))
		}
	case 0x90:
		want = set
	}
	if t.kind != want && t.kind != object {
		return errors.New("into a value that takes no such items")
	}
	own := each * int64(len(s))
	t.cost += own + share(s...)
	return m.spend(own)
}

// call is REDUCE, NEWOBJ, NEWOBJ_EX, BUILD and BINPERSID: what makes objects.
func (m *machine) call(o op) error {
	m.copy(o)
	if o.code == 'Q' {
		s, err := m.pop(1)
		if err != nil {
			return err
		}
		m.free(s[0])
		return m.made(named, costObject)
	}
	n := 2
	if o.code == 0x92 {
		n = 3
	}
	s, err := m.pop(n)
	if err != nil {
		return err
	}
	if o.code == 'b' {
		if s[0].kind != object {
			return errors.New("sets the state of a value that has none")
		}
		inst := s[0]
		inst.cost += costItem + share(s[1])
		return m.push(inst, costItem)
	}
	switch {
	case s[0].kind != global && s[0].kind != named && (s[0].kind != object || o.code != 'R'):
		return errors.New("calls a value that is neither class nor function")
	case s[1].kind != tuple:
		return errors.New("without a tuple of arguments")
	case n == 3 && s[2].kind != dict:
		return errors.New("without a dict of arguments")
	}
	if s[0].kind != global { // gopickle refuses what cannot be called; of what can, what it makes may keep them
		return m.made(object, costMade, s...)
	}
	if c := m.classes[s[0].ref]; o.code == 'R' && c.Make != nil {
		switch {
		case c.Names:
			return m.made(named, costMade, s[1])
		case c.Keeps: // whatever hangs below them stays in memory
			return m.made(object, costMade, s[1])
		}
		m.free(s[1])
		return m.made(object, costMade)
	}
	return m.made(object, costObject, s[1:]...)
}
