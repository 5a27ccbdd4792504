package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"wreg/ingest/regular"
	"wreg/ingest/sums"
)

// state is what is noted of how far everything has come, as of a moment. It is never trusted:
// what it says is kept is compared with the disk, and what it says of a file's hash shows at
// the file's end.
type state struct {
	Version int         `json:"wreg-spool"`
	ID      string      `json:"plan"`
	Files   []fileState `json:"files"`
}

type fileState struct {
	Name   string       `json:"name"`
	Digest string       `json:"declared"`
	Off    int64        `json:"read"`
	Hash   []byte       `json:"sha256_state,omitempty"`
	Sums   [][]byte     `json:"sums,omitempty"`
	Got    string       `json:"sha256,omitempty"` // of a file that was read whole and is what is declared
	Kept   []pieceState `json:"kept,omitempty"`
}

type pieceState struct {
	Piece int    `json:"piece"`
	N     int64  `json:"bytes"`
	Sum   string `json:"xxh3"`
}

const (
	version  = 1
	maxState = 64 << 20
)

// note writes down how far everything has come, when that is on the disk. Only Run calls it,
// which alone goes on.
func (s *Spool) note() error {
	now, open, err := s.now()
	if err != nil {
		return err
	}
	for _, f := range open {
		if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // nothing of it is needed any more
			return err
		}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return s.replace(text)
}

// now is the state, and the files that are to be on disk before it is noted.
func (s *Spool) now() (now state, open []*os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = state{Version: version, ID: s.id}
	for i := range s.files {
		x, f := &s.files[i], &s.plan.files[i]
		if x.off == 0 && !x.whole {
			continue
		}
		one := fileState{Name: f.Name, Digest: f.Digest, Off: x.off, Got: x.got}
		if !x.whole {
			if one.Hash, err = marshal(x.hash); err != nil {
				return now, nil, err
			}
		}
		for _, h := range x.sums {
			sum, err := marshal(h)
			if err != nil {
				return now, nil, err
			}
			one.Sums = append(one.Sums, sum)
		}
		for _, k := range f.pieces {
			p := &s.pieces[k]
			if p.off || p.n == 0 {
				continue
			}
			sum := p.sum
			if p.part != nil {
				sum = p.part.Sum()
			}
			one.Kept = append(one.Kept, pieceState{k, p.n, sum.String()})
		}
		if x.f != nil && s.sync && len(one.Kept) > 0 {
			open = append(open, x.f)
		}
		now.Files = append(now.Files, one)
	}
	return now, open, nil
}

// replace writes the state beside the old one, and renames it over that.
func (s *Spool) replace(text []byte) error {
	const temp = stateName + "-new"
	f, err := s.dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && s.sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.dir.Rename(temp, stateName)
}

// load reads the state that an earlier run of the same plan left, by file. One that cannot be
// read, or is another plan's, says nothing.
func (s *Spool) load() map[string]*fileState {
	text, err := regular.ReadIn(s.dir, stateName, maxState)
	var old state
	if err != nil || json.Unmarshal(text, &old) != nil || old.Version != version || old.ID != s.id {
		return nil
	}
	files := map[string]*fileState{}
	for i := range old.Files {
		files[old.Files[i].Name] = &old.Files[i]
	}
	return files
}

// restore takes up what an earlier run left, file by file: from the first on of which
// something is needed that is not here they are read anew, in order. mu is held.
func (s *Spool) restore(proven []Proof) error {
	old, sound := s.load(), true
	for i := range s.files {
		f := &s.plan.files[i]
		one, needs := old[f.Name], false
		if one != nil && one.Digest == f.Digest && !s.doubted[f.Name] && s.fresh(i, true) == nil && s.adopt(i, one, &needs) == nil && (sound || one.Got != "" && !needs) {
			for _, k := range f.pieces {
				s.held += s.pieces[k].n
			}
			s.most = max(s.most, s.held)
			s.tidy(i)
			continue
		}
		if err := s.fresh(i, false); err != nil {
			return err
		}
		if k := slices.IndexFunc(proven, func(p Proof) bool { return p.Name == f.Name && p.Declared == f.Digest }); k >= 0 && !s.needed(i) {
			s.files[i].off, s.files[i].whole, s.files[i].got = f.Size, true, proven[k].SHA256
			continue
		}
		sound = false
	}
	return nil
}

// needed reports that a job still reads of a file. mu is held.
func (s *Spool) needed(i int) bool {
	return slices.ContainsFunc(s.plan.files[i].pieces, func(k int) bool { return !s.pieces[k].off })
}

var errState = errors.New("what was noted is not what is there")

// adopt takes up a file where it was left, if what is needed of it is here. mu is held.
func (s *Spool) adopt(i int, one *fileState, needs *bool) (err error) {
	f, x := &s.plan.files[i], &s.files[i]
	want, declared := strings.CutPrefix(f.Digest, "sha256:")
	switch {
	case one.Off < 0 || one.Off > f.Size || len(one.Sums) != len(x.sums):
		return errState
	case one.Got == "":
		err = unmarshal(x.hash, one.Hash)
	case one.Off != f.Size || declared && one.Got != want:
		return errState
	}
	for k, sum := range one.Sums {
		err = cmp.Or(err, unmarshal(x.sums[k], sum))
	}
	if err != nil {
		return err
	}
	x.off, x.got, x.whole = one.Off, one.Got, one.Got != ""
	noted := map[int]pieceState{}
	for _, p := range one.Kept {
		noted[p.Piece] = p
	}
	for _, k := range f.pieces {
		c := &s.plan.pieces[k]
		if s.pieces[k].off || c.off >= one.Off {
			continue
		}
		*needs = true
		if p := noted[k]; p.N != min(c.end, one.Off)-c.off {
			return errState
		}
		if x.f == nil {
			if x.f, err = s.dir.OpenFile(dataName(i), os.O_RDWR, 0); err != nil {
				return err
			}
		}
		if err := s.here(k, noted[k]); err != nil {
			return err
		}
	}
	return nil
}

// here compares what is kept of a piece with what was noted of it. mu is held.
func (s *Spool) here(k int, noted pieceState) error {
	c, x, sum := &s.plan.pieces[k], &s.pieces[k], sums.NewSummer()
	if _, err := io.Copy(sum, io.NewSectionReader(s.files[c.file].f, c.off, noted.N)); err != nil {
		return err
	}
	if sum.Sum().String() != noted.Sum {
		return errState
	}
	if x.n = noted.N; x.n < c.end-c.off {
		x.part = sum
	} else {
		x.sum = sum.Sum()
	}
	return nil
}
