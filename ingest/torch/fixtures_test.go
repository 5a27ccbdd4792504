package torch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

const fixturesDir = "../testdata/fixtures"

type fixture struct {
	File, Format, Verdict, Reason string
}

type expectation struct {
	Keys   []any
	Path   string
	Kind   string
	DType  string
	Shape  tensor.Shape
	Bytes  int64  `json:"nbytes"`
	SHA    string `json:"sha256"`
	Offset *int64 `json:"storage_file_offset"`
	First  int64  `json:"storage_offset"`
}

func fixtures(t testing.TB, formats ...string) (list []fixture) {
	t.Helper()
	var m struct{ Fixtures []fixture }
	readJSON(t, filepath.Join(fixturesDir, "MANIFEST.json"), &m)
	for _, f := range m.Fixtures {
		if slices.Contains(formats, f.Format) {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		t.Fatal("no fixtures")
	}
	return list
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(name, err)
	}
}

// policies are the decisions where a fixture leaves the choice to the reader: the
// rule of the finding it is read with, or a part of the error it is refused with.
// docs/formats.md says why.
var policies = map[string]struct{ finding, refusal string }{
	"hostile/after_stop.pt":               {refusal: "follow the end"},
	"hostile/build_setstate.pt":           {refusal: "nothing is run"},
	"hostile/pkl_int_text.pt":             {},
	"hostile/pkl_memo_huge_idx.pt":        {refusal: "memo entry"},
	"hostile/pkl_stop_leftover.pt":        {refusal: "STOP with"},
	"hostile/pkl_unhashable_odict.pt":     {},
	"hostile/storage_find_class.pt":       {refusal: "nothing is run"},
	"hostile/t_same_key_two_numels.pt":    {},
	"hostile/t_shape_expand_huge.pt":      {refusal: "not expanded"},
	"hostile/t_shape_zero_huge.pt":        {},
	"hostile/t_shape_zero_huge_offset.pt": {refusal: "outside its"},
	"hostile/wrapper_subclass.pt":         {refusal: "nothing is run"},
	"hostile/z_bomb_pkl.pt":               {refusal: "more than the"},
	"hostile/z_case_dup.pt":               {},
	"hostile/z_crc_bad.pt":                {refusal: "CRC"},
	"hostile/z_many_entries.pt":           {},
	"hostile/z_no_root.pt":                {finding: "no-root-folder"},
	"hostile/z_nonutf8_name.pt":           {},
	"hostile/z_two_roots.pt":              {finding: "second-root"},
	"hostile/legacy_trailing.pt":          {finding: "trailing-bytes"},
	"hostile/tar_slip.pt":                 {finding: "other-member"},
	"legacy/build_tensor01.pt":            {},
	"zip/conj_neg.pt":                     {finding: "pending-operation"},
	"zip/deflate_all.pt":                  {},
	"zip/desc_missing.pt":                 {},
	"zip/meta.pt":                         {finding: "meta-tensor"},
	"zip/skip_data.pt":                    {},
	"zip/sparse.pt":                       {},
	"zip/storage_obj.pt":                  {finding: "bare-storage"},
	"zip/torchscript.pt":                  {finding: "torchscript"},
	"zip/torchscript_traced.pt":           {finding: "torchscript"},
	"zip/weird_keys.pt":                   {finding: "path-collision"},
}

// arrays are numpy's in fixtures, whose makers listed torch's tensors alone: what
// conformance/torch_reference.py reads.
var arrays = map[string][]expectation{
	"zip/numpy_inside.pt": {{Path: "arr", DType: "int16", Shape: tensor.Shape{2, 3}, Bytes: 12, SHA: "d19c56fe954b4adbb040580d9ae4e98a692b51f8e2cab91d7ddecb903cec9204"}},
}

func TestFixtures(t *testing.T) {
	var manifest struct{ Marker string }
	readJSON(t, filepath.Join(fixturesDir, "MANIFEST.json"), &manifest)
	for _, fx := range fixtures(t, "torch-zip", "torchscript", "torch-legacy", "torch-tar") {
		t.Run(fx.File, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(fixturesDir, fx.File))
			if err != nil {
				t.Fatal(err)
			}
			policy, decided := policies[fx.File]
			if fx.Verdict == "policy" && !decided {
				t.Fatal("no decision in policies")
			}
			f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), filepath.Base(fx.File))
			if err == nil {
				err = readAll(f)
			}
			if fx.Verdict == "reject" || policy.refusal != "" {
				switch {
				case err == nil:
					t.Fatalf("was read; want a refusal: %s", fx.Reason)
				case !strings.Contains(err.Error(), policy.refusal):
					t.Errorf("refused with %q, want %q", err, policy.refusal)
				case f == nil && !strings.HasPrefix(err.Error(), filepath.Base(fx.File)+": "):
					t.Errorf("error %q does not name the file", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if policy.finding != "" && !slices.ContainsFunc(f.Findings(), func(f tensor.Finding) bool { return f.Rule == policy.finding }) {
				t.Errorf("no finding %s in %v", policy.finding, f.Findings())
			}
			if fx.Verdict == "ok" && len(f.Findings()) > 0 {
				t.Errorf("findings on a sound checkpoint: %v", f.Findings())
			}
			var want struct{ Tensors []expectation }
			readJSON(t, filepath.Join(fixturesDir, fx.File+".expected.json"), &want)
			if len(want.Tensors) > 0 || !strings.HasPrefix(fx.File, "hostile/") { // else only that it is read
				compare(t, f, append(want.Tensors, arrays[fx.File]...))
			}
		})
	}
	if _, err := os.Lstat(manifest.Marker); err == nil {
		t.Errorf("%s exists: something in a pickle was run", manifest.Marker)
	}
}

// readAll reads every tensor from its first byte to its last.
func readAll(f *File) error {
	for i, info := range f.Tensors() {
		r, err := f.Bytes(i)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, info.Bytes)); err != nil {
			return err
		}
	}
	return nil
}

func compare(t *testing.T, f *File, want []expectation) {
	t.Helper()
	names := map[string]string{"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
		"uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "complex64": "c64", "complex128": "c128", "complex32": "c32",
		"float8_e4m3fn": "f8_e4m3", "float8_e5m2": "f8_e5m2", "float8_e8m0fnu": "f8_e8m0", "float8_e4m3fnuz": "f8_e4m3fnuz", "float8_e5m2fnuz": "f8_e5m2fnuz"}
	at := map[string]int{}
	for i, info := range f.Tensors() {
		at[info.Path] = i
	}
	listed := 0
	for _, w := range want {
		if w.Kind == "storage" || w.Kind == "meta" {
			continue
		}
		listed++
		path := w.Path
		i, ok := at[path]
		if !ok {
			for k, v := range w.Keys {
				if n, isNumber := v.(float64); isNumber {
					w.Keys[k] = int(n)
				}
			}
			path = brackets(w.Keys)
			i, ok = at[path]
		}
		if !ok && strings.ContainsRune(w.Path, '�') { // a surrogate: JSON has no way to say it
			continue
		}
		if !ok {
			t.Errorf("no tensor %.80q", path)
			continue
		}
		info := f.Tensors()[i]
		dtype := names[w.DType]
		if dtype == "" {
			dtype = w.DType
		}
		if info.DType.String() != dtype || !info.Shape.Equal(w.Shape) || info.Bytes != w.Bytes {
			t.Errorf("%q is %v %v of %d bytes, want %s %v of %d", path, info.DType, info.Shape, info.Bytes, dtype, w.Shape, w.Bytes)
		}
		r, err := f.Bytes(i)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		h := sha256.New()
		if n, err := io.Copy(h, io.NewSectionReader(r, 0, info.Bytes)); err != nil || n != info.Bytes {
			t.Errorf("%q: read %d of %d bytes: %v", path, n, info.Bytes, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != w.SHA {
			t.Errorf("%q: other bytes than torch's", path)
		}
		if w.Offset != nil && info.Offset >= 0 && path == w.Path { // torch's own answer is by joined path
			_, item := info.DType.Block()
			if info.Offset != *w.Offset+w.First*item {
				t.Errorf("%q: bytes at offset %d, torch has them at %d", path, info.Offset, *w.Offset+w.First*item)
			}
		}
	}
	if len(f.Tensors()) != listed {
		t.Errorf("%d tensors, want %d", len(f.Tensors()), listed)
	}
}
