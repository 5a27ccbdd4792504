package pickle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"wreg/ingest/interrupt"
)

// kind is what the checking run knows of a value on the stack.
type kind uint8

const (
	scalar kind = iota // None, a bool, a number, bytes
	text               // ref is where its literal stands
	tuple
	list
	dict
	set
	global // ref is its index in classes
	object // what a call or an instantiation gave
	named  // what a persistent id stands for, or an attribute: it may be a class
)

// The estimated heap of the values gopickle makes, in bytes, without their
// children. Marked collections keep the 16 places that a mark sets aside.
const (
	costItem   = 32 // a place in a list, with the slack of its growth
	costPair   = 64 // a pair of a dict, likewise
	costTuple  = 40
	costMarked = 24 + 16*16
	costDict   = 152
	costList   = 88
	costText   = 24
	costNumber = 8
	costObject = 160
	costMade   = 240 // what a rebuild function makes: a tensor, its shape and strides
	costMemo   = 96  // a place in the machine's memo
)

// slot is a value on the simulated stack.
type slot struct {
	cost int64 // heap that dies with the value
	ref  uint32
	kind kind
	held bool // the memo keeps it: it does not die with the stack
}

// memo is an entry of the pickle's memo. A large state dict has millions, so it
// is small: index is the number of the PUT that made it in the first run, and
// its index in the emitted pickle in the second.
type memo struct {
	ref, index uint32
	kind       kind
	set        bool
}

const memoBytes = 12

// machine simulates a pickle's stack and memo, twice: see the package comment.
type machine struct {
	data    []byte
	options *Options

	steps    interrupt.Steps
	pos, ops int
	last     int // where the opcode before pos begins
	frame    int // where the current frame ends; 0 outside
	stack    []slot
	marks    []int // heights of the stack
	memo     []memo
	memoLen  int // entries set: the index MEMOIZE takes
	puts     uint32
	live     int64
	stopped  bool

	used    []uint64 // bit of each PUT that some GET fetches
	globals map[string]uint32
	classes []*Class

	emit  bool // second run
	out   []byte
	slots uint32 // memo indices emitted
}

// run steps to the end.
func (m *machine) run() error {
	for !m.stopped {
		if err := m.step(); err != nil {
			return err
		}
	}
	return nil
}

// rewind prepares the second run, keeping what the first has learned.
func (m *machine) rewind() {
	*m = machine{
		data: m.data, options: m.options, emit: true,
		stack: m.stack[:0], memo: m.memo[:0], used: m.used, globals: m.globals, classes: m.classes,
	}
}

// class answers gopickle's FindClass: the module is an index, as emitted.
func (m *machine) class(index, _ string) (any, error) {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(m.classes) {
		return nil, fmt.Errorf("no global %q", index)
	}
	return m.classes[i], nil
}

// spend counts heap against the budget.
func (m *machine) spend(n int64) error {
	if m.live += n; m.live > m.options.Budget {
		return fmt.Errorf("needs more than the %d bytes of memory that its file's size allows", m.options.Budget)
	}
	return nil
}

// free gives back what s held, unless the memo still does.
func (m *machine) free(s slot) {
	if !s.held {
		m.live -= s.cost
	}
}

// share is what a container takes over of a child's cost.
func share(children ...slot) (n int64) {
	for _, c := range children {
		if !c.held {
			n += c.cost
		}
	}
	return n
}

func (m *machine) push(s slot, own int64) error {
	if len(m.stack) >= maxStack {
		return fmt.Errorf("more than %d values on the stack", maxStack)
	}
	m.stack = append(m.stack, s)
	return m.spend(own)
}

// made pushes a new value of kind k with cost own, besides what it takes over.
func (m *machine) made(k kind, own int64, children ...slot) error {
	return m.push(slot{kind: k, cost: own + share(children...)}, own)
}

func (m *machine) fence() int {
	if n := len(m.marks); n > 0 {
		return m.marks[n-1]
	}
	return 0
}

var errUnderflow = errors.New("takes more values than the stack holds")

// pop takes n values; the slice is valid until the next push.
func (m *machine) pop(n int) ([]slot, error) {
	if len(m.stack)-m.fence() < n {
		return nil, errUnderflow
	}
	at := len(m.stack) - n
	s := m.stack[at:]
	m.stack = m.stack[:at]
	return s, nil
}

// popMark takes the values above the last mark, and the mark.
func (m *machine) popMark() ([]slot, error) {
	n := len(m.marks)
	if n == 0 {
		return nil, errors.New("needs a mark that was never set")
	}
	s := m.stack[m.marks[n-1]:]
	m.stack = m.stack[:m.marks[n-1]]
	m.marks = m.marks[:n-1]
	return s, nil
}

// top is the value that the next opcode would take.
func (m *machine) top() (*slot, error) {
	if len(m.stack) <= m.fence() {
		return nil, errUnderflow
	}
	return &m.stack[len(m.stack)-1], nil
}

// put stores the top of the stack under index. Only what is fetched later is
// emitted.
func (m *machine) put(index uint64) error {
	t, err := m.top()
	if err != nil {
		return err
	}
	// Every entry was some opcode's value, so an honest index is below their number.
	if index > uint64(m.ops) {
		return fmt.Errorf("sets memo entry %d after %d opcodes", index, m.ops)
	}
	if n := int(index) + 1 - len(m.memo); n > 0 {
		if err := m.spend(int64(n) * memoBytes); err != nil {
			return err
		}
		m.memo = append(m.memo, make([]memo, n)...)
	}
	e := &m.memo[index]
	if !e.set {
		m.memoLen++
	}
	*e = memo{ref: t.ref, index: m.puts, kind: t.kind, set: true}
	m.puts++
	if m.emit && m.fetched(e.index) {
		t.held = true
		e.index = m.slots
		m.slots++
		m.emitMemo('q', 'r', e.index)
		return m.spend(costMemo)
	}
	return nil
}

func (m *machine) fetched(put uint32) bool {
	return int(put/64) < len(m.used) && m.used[put/64]>>(put%64)&1 == 1
}

func (m *machine) get(index uint64) error {
	if index >= uint64(len(m.memo)) || !m.memo[index].set {
		return fmt.Errorf("fetches memo entry %d, which nothing has set", index)
	}
	e := &m.memo[index]
	if m.emit {
		m.emitMemo('h', 'j', e.index)
	} else {
		for int(e.index/64) >= len(m.used) {
			m.used = append(m.used, 0)
		}
		m.used[e.index/64] |= 1 << (e.index % 64)
	}
	return m.push(slot{kind: e.kind, ref: e.ref, held: true}, 0)
}

// lookup finds or asks for the class of a global.
func (m *machine) lookup(module, name string) error {
	key := module + "\n" + name
	i, ok := m.globals[key]
	if !ok {
		if err := checkName("module", module); err != nil {
			return err
		}
		if err := checkName("name", name); err != nil {
			return err
		}
		c, err := m.options.Class(module, name, m.spend)
		if err != nil {
			return err
		}
		if err := m.spend(int64(4*len(key)) + 256); err != nil {
			return err
		}
		i = uint32(len(m.classes))
		m.classes = append(m.classes, c)
		m.globals[strings.Clone(key)] = i
	}
	if m.emit {
		m.out = append(m.out, 'c')
		m.out = strconv.AppendUint(m.out, uint64(i), 10)
		m.out = append(m.out, "\n\n"...)
	}
	return m.push(slot{kind: global, ref: i}, 0)
}

func checkName(what, s string) error {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("refers to a global with an invalid %s, %.60q", what, s)
	}
	return nil
}

// MaxName bounds the module and the name of a global, in bytes.
const MaxName = 1000
