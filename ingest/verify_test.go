package ingest

import (
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/place"
	"wreg/ingest/safetensors"
	"wreg/ingest/whole"
	"wreg/registry/tensor"
)

// twoFaced is a place of one file, which says one thing when it is asked for ranges and another from front to back.
type twoFaced struct{ name, ranges, stream, digest string }

// turned is one that comes otherwise at first.
type turned struct {
	twoFaced
	first string
}

func (p *turned) Open(ctx context.Context, name string) (place.Blob, error) {
	b, err := p.twoFaced.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &turnedFace{b.(*face), p.first}, nil
}

type turnedFace struct {
	*face
	first string
}

func (f *turnedFace) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	if !afresh {
		return io.NopCloser(strings.NewReader(f.first[off:]))
	}
	return f.face.Stream(ctx, off, afresh)
}

// What was found in bytes that were wrong, and were read again, is not told of those that are right.
func TestVerifyForgets(t *testing.T) {
	info := tensor.Info{Path: "w.weight", DType: tensor.F32, Shape: tensor.Shape{64, 64}}
	h, _, err := safetensors.AppendHeader(nil, []tensor.Info{info}, nil)
	if err != nil {
		t.Fatal(err)
	}
	right := []byte(string(h) + strings.Repeat("0123456789abcdef", 64*64/4))
	for i := len(h); i < len(right); i += 4 {
		right[i] = byte(i / 4) // no two of a row are alike
	}
	wrong := string(h) + strings.Repeat("@@@@", 64*64)
	p := &turned{twoFaced{"model.safetensors", string(right), string(right), tensor.Hash(sha256.Sum256(right)).String()}, wrong}
	found := func(p place.Place) (rules []string) {
		c, err := OpenPlace(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Hash(t.Context(), HashOptions{Verify: true}); err != nil {
			t.Fatal(err)
		}
		for _, f := range c.Findings() {
			rules = append(rules, f.Rule)
		}
		return rules
	}
	if rules := found(&twoFaced{"model.safetensors", wrong, wrong, ""}); !slices.Contains(rules, "constant-rows") {
		t.Errorf("rows of one value: %v", rules)
	}
	if rules := found(p); len(rules) > 0 {
		t.Errorf("of bytes that were read again: %v", rules)
	}
}

func (p *twoFaced) List(context.Context) ([]place.Entry, error) {
	return []place.Entry{{Name: p.name, Size: int64(len(p.ranges))}}, nil
}

func (p *twoFaced) Open(_ context.Context, name string) (place.Blob, error) {
	if name != p.name {
		return nil, fs.ErrNotExist
	}
	return &face{strings.NewReader(p.ranges), p}, nil
}

func (p *twoFaced) Has(name string) bool { return name == p.name }
func (p *twoFaced) Pin() string          { return "test://place" }
func (p *twoFaced) Close() error         { return nil }

type face struct {
	*strings.Reader
	p *twoFaced
}

func (f *face) Close() error { return nil }
func (f *face) Stat() (tensor.File, error) {
	return tensor.File{Name: f.p.name, Size: int64(len(f.p.ranges)), Digest: f.p.digest}, nil
}

func (f *face) Stream(_ context.Context, off int64, _ bool) io.ReadCloser {
	return io.NopCloser(strings.NewReader(f.p.stream[off:]))
}

// A header that was read by ranges counts only as the one of the file whose digest is proven; in files that are
// read as they come, and in those that are not.
func TestVerifyHeader(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	npz, err := os.ReadFile("testdata/fixtures/numpy/compressed.npz")
	if err != nil {
		t.Fatal(err)
	}
	st := shard(t, 1, "a", "b")
	for _, c := range []struct{ name, file, other string }{
		{"model.safetensors", st, strings.Replace(st, `"b"`, `"c"`, 1)},
		{"model.npz", string(npz), strings.ReplaceAll(string(npz), ".npy", ".npz")},
	} {
		digest := func(s string) string { return tensor.Hash(sha256.Sum256([]byte(s))).String() }
		for _, x := range []struct {
			what string
			twoFaced
			wrong bool
			want  string
		}{
			{"sound", twoFaced{c.name, c.file, c.file, digest(c.file)}, false, ""},
			{"no digest is declared", twoFaced{c.name, c.file, c.file, ""}, false, ""},
			{"another header comes", twoFaced{c.name, c.file, c.other, digest(c.other)}, false, c.name + ": "},
			{"other bytes come", twoFaced{c.name, c.file, c.other, digest(c.file)}, true, digest(c.other)},
			{"another digest", twoFaced{c.name, c.file, c.file, digest(c.other)}, true, digest(c.other)},
			{"less comes", twoFaced{c.name, c.file, c.file[:len(c.file)-1], ""}, false, "unexpected EOF"},
		} {
			ck, err := OpenPlace(t.Context(), &x.twoFaced, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = ck.Hash(t.Context(), HashOptions{Verify: true})
			if x.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), x.want) || whole.Wrong(err) != x.wrong {
				t.Errorf("%s, %s: %v, want %q", c.name, x.what, err, x.want)
			}
			if f := ck.Files()[0]; err == nil && (f.Digest != digest(c.file) || f.Trust != map[bool]tensor.Trust{true: tensor.TrustVerified, false: tensor.TrustSummed}[x.digest != ""]) || err != nil && f.Trust != tensor.TrustUnset {
				t.Errorf("%s, %s: afterwards it is %v, %s", c.name, x.what, f.Trust, f.Digest)
			}
			if err := ck.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "wreg-verify-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
