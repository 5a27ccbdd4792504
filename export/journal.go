package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"sync"

	"wreg/ingest/regular"
	"wreg/registry/arch/op"
)

// A journal lies in the berth and says which parts of the output are written. It
// is text: a first line that names the plan, then one line a part. A line that a
// kill cut short, or that is damaged, does not count. What it says is never trusted:
// a part that is kept is made again from its sources, and read back.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

// journalName starts the names of journals; a share of an export has its own.
const journalName = "wreg-journal"

func partJournal(part, parts int) string {
	if parts == 0 {
		return journalName
	}
	return fmt.Sprintf("%s-%d-of-%d", journalName, part, parts)
}

var partJournals = regexp.MustCompile(`^` + journalName + `-[1-9][0-9]*-of-[1-9][0-9]*$`)

func isPartJournal(name string) bool { return partJournals.MatchString(name) }

// maxJournal bounds a journal that is read, maxLine its lines: three digests take
// less than half of it.
const (
	maxJournal = 1 << 30
	maxLine    = 1 << 10
)

type journalHead struct {
	Version int    `json:"wreg-journal"`
	Plan    string `json:"plan"`
}

type journalLine struct {
	Unit    int         `json:"unit"`
	Part    int         `json:"part"`
	Digests [][2]string `json:"digests"` // XXH3 and SHA-256 of each tensor's share
}

// journals names the journals of a berth, sorted.
func (b *berth) journals() (names []string, err error) {
	entries, err := b.entries()
	for _, e := range entries {
		if e.Name() == journalName || isPartJournal(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// openJournal opens the journal to append to, with its first line written.
func (b *berth) openJournal(name, plan string) (*journal, error) {
	f, err := b.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	keep, err := eachLine(f, func([]byte) error { return nil })
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(keep); err != nil { // a line cut short goes
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(keep, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j := &journal{file: f}
	if keep == 0 {
		err = j.write(journalHead{1, plan})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journal) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// record says that a part of a unit is written.
func (j *journal) record(at job, made []digest) error {
	line := journalLine{Unit: at.unit, Part: at.part}
	for _, d := range made {
		line.Digests = append(line.Digests, [2]string{d.sum.String(), d.hash.String()})
	}
	return j.write(line)
}

// claims are what journals say of a part: the digests of its tensors, one list for
// each journal that has it.
type claims map[job][][]digest

// readJournals reads what all journals of a berth say of the parts of s.
func (s *stream) readJournals(b *berth) (claims, error) {
	names, err := b.journals()
	if err != nil {
		return nil, err
	}
	all := claims{}
	for _, name := range names {
		one, err := s.readJournal(b, name)
		if err != nil {
			return nil, err
		}
		for at, made := range one {
			all[at] = append(all[at], made)
		}
	}
	return all, nil
}

// readJournal reads one journal. Of lines about one part the last counts.
func (s *stream) readJournal(b *berth, name string) (map[job][]digest, error) {
	f, err := regular.OpenIn(b.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	written, head := map[job][]digest{}, false
	_, err = eachLine(f, func(text []byte) error {
		if head {
			if at, made, err := s.parseLine(text); err == nil { // damaged: its part is written again
				written[at] = made
			}
			return nil
		}
		head = true
		var first journalHead
		if err := json.Unmarshal(text, &first); err != nil || first.Version != 1 {
			return fmt.Errorf("%s in %s is no journal this wreg knows; remove the folder", name, b.path)
		}
		if first.Plan != s.fingerprint {
			return anotherPlan(b)
		}
		return nil
	})
	return written, err
}

// eachLine calls fn with every whole line of a journal, and gives where the last
// ends. A line longer than any that is written is damaged: fn gets it empty.
func eachLine(f *os.File, fn func(text []byte) error) (end int64, err error) {
	r := bufio.NewReaderSize(io.LimitReader(f, maxJournal+1), maxLine)
	for at := int64(0); ; {
		text, err := r.ReadSlice('\n')
		whole := err == nil
		at += int64(len(text))
		for errors.Is(err, bufio.ErrBufferFull) { // text is overwritten, but it is too long for a line anyway
			var rest []byte
			rest, err = r.ReadSlice('\n')
			at += int64(len(rest))
		}
		switch {
		case at > maxJournal:
			return 0, fmt.Errorf("%s: exceeds %d bytes", f.Name(), maxJournal)
		case errors.Is(err, io.EOF):
			return end, nil
		case err != nil:
			return 0, err
		}
		end = at
		if !whole {
			text = nil // damaged
		}
		if err := fn(bytes.TrimSuffix(text, []byte("\n"))); err != nil {
			return 0, err
		}
	}
}

func anotherPlan(b *berth) error {
	return fmt.Errorf("%s was left by another plan: options, architecture or inputs differ; go on with those, or remove the folder", b.path)
}

func (s *stream) parseLine(text []byte) (at job, made []digest, err error) {
	var line journalLine
	if err := json.Unmarshal(text, &line); err != nil {
		return at, nil, err
	}
	if line.Unit < 0 || line.Unit >= len(s.units) || line.Part < 0 || line.Part >= len(s.units[line.Unit].parts) || len(line.Digests) != s.units[line.Unit].n {
		return at, nil, errors.New("no part of this export")
	}
	for _, d := range line.Digests {
		parsed, err := parseWritten(d[0], d[1])
		if err != nil {
			return at, nil, err
		}
		made = append(made, parsed)
	}
	return job{line.Unit, line.Part}, made, nil
}

// fingerprint names a plan and its inputs: equal for two plans exactly when they
// write the same bytes from the same bytes.
func (p *Plan) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "1 %s %s %s\n", p.Model, p.Target, p.o.Prove)
	for _, header := range p.headers {
		h.Write(header)
	}
	for i := range p.Tensors {
		t := &p.Tensors[i]
		fmt.Fprintf(h, "%q %d %v %v\n", t.Path, t.Shard, t.quant, t.spec)
		hashNode(h, t.tree)
	}
	fmt.Fprintf(h, "%q\n", p.config)
	for _, x := range p.files {
		fmt.Fprintf(h, "%q %d\n", x.name, x.size)
	}
	for _, t := range p.source.tensors {
		fmt.Fprintf(h, "%q %v %v %v\n", t.Path, t.DType, t.Shape, t.Sum)
	}
	for _, f := range p.source.files {
		fmt.Fprintf(h, "%q %d", f.Name, f.Size)
		if !p.source.hashed { // nothing else tells whether it changed
			fmt.Fprintf(h, " %d", f.ModTime.UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashNode(w io.Writer, n *op.Node) {
	fmt.Fprintf(w, "%s %v %v %q %d %d %v %v %v %v %v %x", n.Op, n.DType, n.Shape, n.Path, n.Axis, n.Count, n.Start, n.Stop, n.Stride, n.Perm, n.Block, math.Float64bits(n.Scalar))
	for _, f := range n.Vector {
		binary.Write(w, binary.LittleEndian, f)
	}
	fmt.Fprintf(w, " %d\n", len(n.In))
	for _, m := range n.In {
		hashNode(w, m)
	}
}
