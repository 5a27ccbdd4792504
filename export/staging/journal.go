package staging

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sync"

	"wreg/export/receipt"
	"wreg/ingest/regular"
	"wreg/ingest/sums"
)

// A journal lies in the folder and says which segments of the output are written. It
// is text: a first line that names the plan, then one line per segment. A line that a
// kill cut short, or that is damaged, does not count. What it says is never trusted:
// a segment that is kept is made again from its sources, and read back.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

// journalName starts the names of journals; a share of an export has its own.
const journalName = "wreg-journal"

// JournalName is the journal's name of a share of an export, or of all of it.
func JournalName(part, parts int) string {
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

// journals names the journals of a folder, sorted.
func (b *Folder) journals() (names []string, err error) {
	entries, err := b.entries()
	for _, e := range entries {
		if e.Name() == journalName || isPartJournal(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// OpenJournal opens the journal to append to, with its first line written.
func (b *Folder) OpenJournal(name, plan string) (*Journal, error) {
	f, err := b.Root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	keep, err := eachLine(f, func([]byte) error { return nil })
	if err == nil {
		err = f.Truncate(keep) // a line cut short goes
	}
	if err == nil {
		_, err = f.Seek(keep, io.SeekStart)
	}
	j := &Journal{file: f}
	if err == nil && keep == 0 {
		err = j.write(journalHead{1, plan})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *Journal) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// Key is one segment of one unit.
type Key struct{ Unit, Segment int }

// Record says that a segment of a unit is written, or with no digests that it no longer counts.
func (j *Journal) Record(at Key, made []sums.Digest) error {
	line := journalLine{Unit: at.Unit, Part: at.Segment}
	for _, d := range made {
		line.Digests = append(line.Digests, [2]string{d.Sum.String(), d.Hash.String()})
	}
	return j.write(line)
}

func (j *Journal) Close() error { return j.file.Close() }

// Claims are what journals say of a segment: the digests of its tensors, one list for
// each journal that has it.
type Claims map[Key][][]sums.Digest

// Claims reads what all journals of a folder say of the segments of a plan; tensors says
// how many a segment has, 0 for one that is not in the plan.
func (b *Folder) Claims(plan string, tensors func(Key) int) (Claims, error) {
	names, err := b.journals()
	if err != nil {
		return nil, err
	}
	all := Claims{}
	for _, name := range names {
		one, err := b.readJournal(name, plan, tensors)
		if err != nil {
			return nil, err
		}
		for at, made := range one {
			all[at] = append(all[at], made)
		}
	}
	return all, nil
}

// readJournal reads one journal. Of lines about one segment the last counts.
func (b *Folder) readJournal(name, plan string, tensors func(Key) int) (map[Key][]sums.Digest, error) {
	f, err := regular.OpenIn(b.Root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	written, head := map[Key][]sums.Digest{}, false
	_, err = eachLine(f, func(text []byte) error {
		if head {
			switch at, made, err := parseLine(text); {
			case err != nil: // damaged: its segment is written again
			case len(made) == 0:
				delete(written, at)
			case len(made) == tensors(at):
				written[at] = made
			}
			return nil
		}
		head = true
		var first journalHead
		if err := json.Unmarshal(text, &first); err != nil || first.Version != 1 {
			return fmt.Errorf("%s in %s is not a journal that this wreg knows; remove the folder", name, b.Path)
		}
		if first.Plan != plan {
			return AnotherPlan(b)
		}
		return nil
	})
	return written, err
}

// eachLine calls fn with every complete line of a journal, and gives where the last
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

func AnotherPlan(b *Folder) error {
	return fmt.Errorf("%s was left by another plan: its options, architecture or input are not these; give those it had, --finish the same as the parts, or remove the folder", b.Path)
}

func parseLine(text []byte) (at Key, made []sums.Digest, err error) {
	var line journalLine
	if err := json.Unmarshal(text, &line); err != nil {
		return at, nil, err
	}
	for _, d := range line.Digests {
		parsed, err := receipt.ParseDigest(d[0], d[1])
		if err != nil {
			return at, nil, err
		}
		made = append(made, parsed)
	}
	return Key{line.Unit, line.Part}, made, nil
}
