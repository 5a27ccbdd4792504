package ingest

import (
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/place"
	"wreg/ingest/whole"
	"wreg/registry/tensor"
)

// twoFaced is a place of one file, which says one thing when it is asked for ranges and another from front to back.
type twoFaced struct{ name, ranges, stream, digest string }

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
