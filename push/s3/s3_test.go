package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"wreg/ingest/remote"
	places3 "wreg/ingest/s3"
	"wreg/ingest/s3/s3test"
	"wreg/push"
)

var ctx = context.Background()

// least is the size of parts here.
const least = 1 << 20

const address = "s3://models/team/hunyuan"

// large is a file of a few parts, the last one small.
var large = func() []byte {
	data := make([]byte, 3*least+5)
	for i := range data {
		data[i] = byte(i>>12) ^ byte(i)
	}
	return data
}()

func file(name string, data []byte) push.File {
	sum := sha256.Sum256(data)
	return push.File{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

func open(t *testing.T) push.Target {
	t.Helper()
	target, err := Open(ctx, address, push.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target.(*Target).least = least
	t.Cleanup(func() { target.Close() })
	return target
}

// model is a folder's files in their order.
type model []struct {
	name string
	data []byte
}

func (m model) files() (list []push.File) {
	for _, f := range m {
		list = append(list, file(f.name, f.data))
	}
	return list
}

// publish puts what is not held and commits.
func publish(target push.Target, m model) (address string, sent int64, err error) {
	files := m.files()
	held, err := target.Held(ctx, files)
	if err != nil {
		return "", 0, err
	}
	var moved atomic.Int64
	for i, f := range files {
		if !held[i] {
			if err := target.Put(ctx, f, bytes.NewReader(m[i].data), func(n int64) { moved.Add(n) }); err != nil {
				return "", moved.Load(), err
			}
		}
	}
	address, err = target.Commit(ctx, files)
	return address, moved.Load(), err
}

var whole = model{{"model.safetensors", large}, {"tokenizer.json", []byte("{}")}, {"empty.txt", nil}, {"wreg-receipt.json", []byte(`{"a":1}`)}}

// What is published is there byte for byte, was not before the commit, in the order given; again it is held.
func TestPublish(t *testing.T) {
	s := s3test.Start(t)
	target := open(t)
	files := whole.files()
	if held, err := target.Held(ctx, files); err != nil || slices.Contains(held, true) {
		t.Fatal(held, err)
	}
	var moved atomic.Int64
	for i, f := range files {
		if err := target.Put(ctx, f, bytes.NewReader(whole[i].data), func(n int64) { moved.Add(n) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Objects) != 0 || s.Uploads() != 1 {
		t.Errorf("before the commit there are %d files and %d unfinished ones", len(s.Objects), s.Uploads())
	}
	s.Asked()
	pin, err := target.Commit(ctx, files)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, q := range s.Asked() {
		if method, key, _ := strings.Cut(q, " /models/team/hunyuan/"); method == "PUT" || method == "POST" {
			name, _, _ := strings.Cut(key, "?")
			order = append(order, name)
		}
	}
	for i, f := range whole {
		if o := s.Objects["team/hunyuan/"+f.name]; o == nil || !bytes.Equal(o.Data, f.data) || o.Meta["X-Amz-Meta-Sha256"] != files[i].SHA256 || order[i] != f.name {
			t.Errorf("%s: not what was published, or out of order: %v", f.name, order)
		}
	}
	if want := int64(len(large) + 2 + 7); moved.Load() != want {
		t.Errorf("%d bytes moved, want %d", moved.Load(), want)
	}
	if proof := target.Proof(); proof != "the store shows 4 files with the sizes and digests that they have here, and computed the SHA-256 of 3 parts" {
		t.Error(proof)
	}
	p, err := places3.Open(ctx, pin, remote.Options{})
	if err != nil || p.Pin() != pin {
		t.Fatal(pin, err)
	}
	s.Asked()
	again, sent, err := publish(open(t), whole)
	if err != nil || again != pin || sent != 0 {
		t.Error(again, sent, err)
	}
	for _, q := range s.Asked() {
		if !strings.HasPrefix(q, "GET") && !strings.HasPrefix(q, "HEAD") {
			t.Errorf("published again, it changes something: %s", q)
		}
	}
}

// stopped reads a file until n of its bytes were read.
type stopped struct {
	io.ReaderAt
	n int64
}

var errStopped = errors.New("stopped")

func (s stopped) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.n {
		return 0, errStopped
	}
	return s.ReaderAt.ReadAt(p, off)
}

// What a process sent before it ended is found by the next one, and not sent again. What is not of this file is not
// taken for it.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name   string
		bare   bool // the store tells no SHA-256 of parts
		change func() []byte
		parts  int // that are sent by the second process
	}{
		{"the same", false, func() []byte { return large }, 1},
		{"no checksums", true, func() []byte { return large }, 1},
		{"another file that begins alike", false, func() []byte { return append(slices.Clone(large), 1) }, 3},
	} {
		s := s3test.Start(t)
		size := partSize(file("", large), least)
		s.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if c.bare {
				r.Header.Del("X-Amz-Checksum-Sha256")
				r.Header.Del("X-Amz-Checksum-Algorithm")
			}
			return false
		}
		err := open(t).Put(ctx, file("model.safetensors", large), stopped{bytes.NewReader(large), 2 * size}, nil)
		if !errors.Is(err, errStopped) || !strings.Contains(err.Error(), "keeps 2 of its 3 parts") {
			t.Fatal(c.name, err)
		}
		s.Asked()
		data := c.change()
		target := open(t)
		if _, sent, err := publish(target, model{{"model.safetensors", data}}); err != nil || sent != int64(len(data)) {
			t.Error(c.name, sent, err)
		}
		puts := 0
		for _, q := range s.Asked() {
			if strings.HasPrefix(q, "PUT") {
				puts++
			}
		}
		if o := s.Objects["team/hunyuan/model.safetensors"]; puts != c.parts || o == nil || !bytes.Equal(o.Data, data) {
			t.Errorf("%s: %d parts were sent, want %d", c.name, puts, c.parts)
		}
		if told := !strings.Contains(target.Proof(), "no SHA-256"); told == c.bare {
			t.Error(c.name, target.Proof())
		}
	}
}

// Of several who publish to one place one wins, and what is there is all of one.
func TestRace(t *testing.T) {
	for range 20 {
		s := s3test.Start(t)
		var starts []func()
		var won atomic.Int64
		var all sync.WaitGroup
		var winner atomic.Value
		for i := range 4 {
			m := model{{"a.json", fmt.Appendf(nil, "a %d", i)}, {"b.json", fmt.Appendf(nil, "b %d", i)}}
			target := open(t)
			if _, err := target.Held(ctx, m.files()); err != nil {
				t.Fatal(err)
			}
			starts = append(starts, func() {
				_, _, err := publish(target, m)
				if err == nil {
					won.Add(1)
					winner.Store(i)
				} else if !strings.Contains(err.Error(), "somebody else publishes there") {
					t.Error(err)
				}
			})
		}
		for _, start := range starts {
			all.Go(start)
		}
		all.Wait()
		i, _ := winner.Load().(int)
		if a, b := s.Objects["team/hunyuan/a.json"], s.Objects["team/hunyuan/b.json"]; won.Load() != 1 || string(a.Data) != fmt.Sprintf("a %d", i) || string(b.Data) != fmt.Sprintf("b %d", i) {
			t.Fatalf("%d won; there are %s and %s", won.Load(), a.Data, b.Data)
		}
	}
}

// A model is written over by a newer one where nobody else wrote meanwhile.
func TestReplace(t *testing.T) {
	s := s3test.Start(t)
	one, two := model{{"a.json", []byte("1")}, {"b.json", []byte("same")}}, model{{"a.json", []byte("22")}, {"b.json", []byte("same")}}
	first, _, err := publish(open(t), one)
	if err != nil {
		t.Fatal(err)
	}
	second, sent, err := publish(open(t), two)
	if err != nil || second == first || sent != 2 || string(s.Objects["team/hunyuan/a.json"].Data) != "22" {
		t.Error(second, sent, err)
	}
	target := open(t)
	if _, err := target.Held(ctx, one.files()); err != nil {
		t.Fatal(err)
	}
	s.Put("team/hunyuan/a.json", []byte("theirs"))
	if _, _, err := publish(target, one); err == nil || !strings.Contains(err.Error(), "somebody else publishes there") {
		t.Error(err)
	}
	if string(s.Objects["team/hunyuan/a.json"].Data) != "theirs" {
		t.Error("what somebody else wrote was written over")
	}
}

// Where the answer to what makes a file visible is lost, what is there decides.
func TestLostAnswers(t *testing.T) {
	s := s3test.Start(t)
	lost := map[string]bool{}
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		commits := r.Method == http.MethodPost && r.URL.Query().Has("uploadId") || r.Method == http.MethodPut && !r.URL.Query().Has("uploadId")
		if !commits || lost[r.URL.Path] {
			return false
		}
		lost[r.URL.Path] = true
		s.Before = nil
		defer func() { s.Before = nil }()
		s.ServeHTTP(nowhere{http.Header{}}, r) // it is done
		panic(http.ErrAbortHandler)            // and nobody hears
	}
	s.Config.ErrorLog = nil
	if _, _, err := publish(open(t), model{{"model.safetensors", large}}); err != nil || len(lost) != 1 {
		t.Error(err, lost)
	}
}

type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}

// What is not as it was announced is refused, and what the store says otherwise, too.
func TestRefused(t *testing.T) {
	damage := func(data []byte) []byte {
		data = slices.Clone(data)
		data[len(data)-1] ^= 1
		return data
	}
	s := s3test.Start(t)
	for _, data := range [][]byte{large, []byte("{}")} {
		err := open(t).Put(ctx, file("a", data), bytes.NewReader(damage(data)), nil)
		if err == nil || !strings.Contains(err.Error(), "changed while it was sent") {
			t.Error(err)
		}
		if err := open(t).Put(ctx, file("a", data), bytes.NewReader(data[:len(data)-1]), nil); err == nil {
			t.Error("a file that is too short was taken")
		}
	}
	lies := func(name string, before func(w http.ResponseWriter, r *http.Request) bool, want string) {
		s := s3test.Start(t)
		s.Before = before
		if _, _, err := publish(open(t), whole); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		for key := range s.Objects {
			if strings.HasSuffix(key, "wreg-receipt.json") && !strings.Contains(want, "shows") {
				t.Errorf("%s: the last file is visible all the same", name)
			}
		}
	}
	lies("a part that the store takes for another", func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") != "2" {
			return false
		}
		_, err := io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("X-Amz-Checksum-Sha256", "AAAA")
		return err == nil
	}, "the store says that its SHA-256 is AAAA")
	lies("an error in an answer that begins well", func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && s3test.Refuse(w, http.StatusOK, "InternalError", "try again")
	}, "could not make a file of its parts")
	lies("the right to write is missing", func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method != http.MethodGet && r.Method != http.MethodHead && s3test.Refuse(w, http.StatusForbidden, "AccessDenied", "")
	}, "to publish s3:PutObject")
	lies("a bucket that is not there", func(w http.ResponseWriter, r *http.Request) bool {
		return s3test.Refuse(w, http.StatusNotFound, "NoSuchBucket", "")
	}, "there is no bucket models")
	lies("another digest beside it", func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("uploads") {
			r.Header.Set("X-Amz-Meta-Sha256", strings.Repeat("0", 64))
		}
		return false
	}, "the store shows")
	if s.Uploads() > 1 {
		t.Errorf("%d uploads of what nobody wants are kept", s.Uploads())
	}
}

// The address that is given is of what was published: what somebody else writes at once is told.
func TestWrittenAtOnce(t *testing.T) {
	s := s3test.Start(t)
	m := model{{"a.json", []byte("1")}}
	lists := 0
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("list-type") {
			lists++
		} else if lists == 2 && r.Method == http.MethodHead { // after the list that the pin is of
			lists++
			o := s.Put("team/hunyuan/a.json", []byte("1"))
			o.Meta = map[string]string{"X-Amz-Meta-Sha256": m.files()[0].SHA256}
			o.ETag = `"another"`
		}
		return false
	}
	if pin, _, err := publish(open(t), m); err == nil || !strings.Contains(err.Error(), "is published, but") {
		t.Error(pin, err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		address string
		ok      bool
	}{
		{"s3://models/a", true}, {"s3://models", true}, {"s3://models/a/", true},
		{"s3://models/a.safetensors", false}, {"s3://models/a?pin=00112233445566778899aabbccddeeff", false}, {"s3://", false},
	} {
		if err := Check(c.address); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.address, err)
		}
	}
	s3test.Start(t)
	if _, err := Open(ctx, address, push.Options{Private: true}); err == nil {
		t.Error("--private was taken")
	}
}

// No file has more parts than a store takes, and the sizes of parts of different files differ.
func TestPartSize(t *testing.T) {
	for _, size := range []int64{1, leastPart, 5 << 30, 5 << 40, 50 << 40} {
		f := push.File{Size: size, SHA256: strings.Repeat("0", 64)}
		if n := partSize(f, leastPart); (size-1)/n+1 > 10_000 || n < leastPart {
			t.Errorf("%d bytes in parts of %d", size, n)
		}
	}
	if partSize(file("", []byte("a")), leastPart) == partSize(file("", []byte("b")), leastPart) {
		t.Error("parts of two files have one size")
	}
}
