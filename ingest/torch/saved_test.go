package torch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

const savedDir = "testdata/saved"

// TestSaved reads files that sound people save, which testdata/saved/make.py made: each
// has the tensors that torch itself reads, and nothing in it is called wrong.
func TestSaved(t *testing.T) {
	var want map[string]map[string][3]json.RawMessage
	readJSON(t, filepath.Join(savedDir, "expected.json"), &want)
	findings := map[string][]string{"numpy_others.pt": {"m", "o", "s"}}
	for name, tensors := range want {
		t.Run(name, func(t *testing.T) {
			f := openSaved(t, name)
			var odd []string
			for _, n := range f.Findings() {
				if !n.Note() {
					odd = append(odd, n.Tensor)
				}
			}
			slices.Sort(odd)
			if !slices.Equal(odd, findings[name]) {
				t.Errorf("findings of %q, want %q", odd, findings[name])
			}
			for i, info := range f.Tensors() {
				shape := []int64(info.Shape)
				if shape == nil {
					shape = []int64{}
				}
				got, err := json.Marshal([]any{info.DType.String(), shape, hashOf(t, f, i)})
				if err != nil {
					t.Fatal(err)
				}
				expected, err := json.Marshal(tensors[info.Path])
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, expected) {
					t.Errorf("%q is %s, torch reads %s", info.Path, got, expected)
				}
			}
			if len(f.Tensors()) != len(tensors) {
				t.Errorf("%d tensors, torch reads %q", len(f.Tensors()), slices.Sorted(maps.Keys(tensors)))
			}
		})
	}
	if len(want) < 25 {
		t.Errorf("only %d files", len(want))
	}
}

func openSaved(t *testing.T, name string) *File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(savedDir, name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// hashOf reads tensor i in pieces that end anywhere.
func hashOf(t *testing.T, f *File, i int) string {
	t.Helper()
	r, err := f.Bytes(i)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if n, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(r, 0, f.Tensors()[i].Bytes), make([]byte, 7)); err != nil || n != f.Tensors()[i].Bytes {
		t.Errorf("%q: %d bytes: %v", f.Tensors()[i].Path, n, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestSavedKeys: any key is a path.
func TestSavedKeys(t *testing.T) {
	for name, want := range map[string][]string{
		"keys.pt": {"1", "-1", "0.5", "None", "1180591620717411303424", `b'\xff"'`, "('a', 1, (2.0,))", "Point(x=1, inner=Point(x=2, inner='y'))", "P(1, 'z')",
			"torch.float32", "7", "0.1", "12", "[nan]", "[nan]#2"},
		"key_tensor.pt": {"0.step", "0.key"},
	} {
		f := openSaved(t, name)
		var got []string
		for _, info := range f.Tensors() {
			got = append(got, info.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: paths %q, want %q", name, got, want)
		}
		if n := tensor.Faults(f.Findings()); n > 0 {
			t.Errorf("%s: %d findings: %v", name, n, f.Findings())
		}
	}
}

// TestInertCounts: a class is told of once, however many objects of it there are.
func TestInertCounts(t *testing.T) {
	var got []string
	for class, n := range openSaved(t, "encoder_layer_gelu.pt").Inert() {
		got = append(got, Inert("m.pt", 0, class, n).Message)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"holds 3 objects of torch.nn.modules.dropout.Dropout: ", "holds an object of torch.nn.modules.activation.MultiheadAttention: ", "names torch._C._nn.gelu: "} {
		if strings.Count(text, want) != 1 {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestOtherArchives: what torch writes otherwise is called what it is.
func TestOtherArchives(t *testing.T) {
	for record, want := range map[string]string{
		"m/data/aotinductor/model/x.so": "an archive of AOTInductor",
		"m/archive_format":              `torch.save(torch.export.load("m.pt2").state_dict, "weights.pt")`,
		"serialized_state_dict.pt":      `torch.save(torch.export.load("m.pt2").state_dict, "weights.pt")`,
		"m/anything":                    "not one torch.save wrote",
	} {
		data := ingesttest.Zip(ingesttest.Record{Name: record, Data: []byte("pt2")})
		if _, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "m.pt2"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", record, err, want)
		}
	}
	data, err := os.ReadFile(filepath.Join(savedDir, "package.pt"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), bytes.NewReader(data), int64(len(data)), "package.pt")
	if want := `PackageImporter("package.pt").load_pickle("model", "model.pkl")`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
}

const (
	aTensor = "ctorch._utils\n_rebuild_tensor_v2\n(K\x00QK\x00K\x04\x85K\x01\x85\x89}tR"
	aKey    = "X\x01\x00\x00\x00w"
)

// pickled lists what a pickle of one storage holds.
func pickled(t *testing.T, text string) (*File, error) {
	t.Helper()
	f, _ := list(nil, 0)
	result, err := f.load([]byte("\x80\x02"+text+"."), func(any) (any, error) {
		return &strided.Storage{Key: "0", Record: "0", DType: tensor.F32, Bytes: 16, Numel: 4}, nil
	})
	if err != nil {
		return nil, err
	}
	return f, f.list(rooted{nil, result})
}

// TestNames gives pickles that name something: what acts is refused wherever its name
// comes from, a tensor whose bytes are not known is refused by its path, and anything
// else stays inert.
func TestNames(t *testing.T) {
	getattr := func(of, name string) string { return "c__builtin__\ngetattr\n(" + of + text(name) + "tR" }
	for _, c := range []struct{ what, value, want, fails string }{
		{"a function of C", "ctorch._C._nn\ngelu\n", "", ""},
		{"an attribute that is a name", getattr("ctorch\nTensor\n", "relu"), "", ""},
		{"an attribute of an attribute, called", getattr(getattr("cm\nOuter\n", "Inner"), "of") + ")R", "", ""},
		{"instance of a nested class", getattr("cm\nOuter\n", "Inner") + ")\x81}" + aKey + aTensor + "sb", "x.w", ""},
		{"a nested class by a dotted name", "X\x01\x00\x00\x00mX\x0b\x00\x00\x00Outer.Inner\x93)\x81", "", ""},
		{"a rebuild function by getattr", getattr("ctorch\n_utils\n", "_rebuild_tensor_v2") + "(K\x00QK\x00K\x04\x85K\x01\x85\x89}tR", "x", ""},
		{"a bound method of an object", getattr("cm\nC\n)\x81}"+aKey+aTensor+"sb", "forward"), "x.__self__.w", ""},
		{"the storage of a tensor's attribute", getattr(aTensor, "T"), "", `at "x": a tensor made by tensor.T`},
		{"a class that keeps a tensor", "cm\nHolder\n" + aTensor + "\x85R", "x.args.0", ""},

		{"getattr of builtins", getattr("cm\nbuiltins\n", "exec"), "", "names m.builtins"},
		{"getattr(os, system)", getattr("cos\npath\n", "exists"), "", "names os.path"},
		{"os by way of another module", "crandom\n_os\n", "", "names random._os"},
		{"a dotted name through os", "X\x06\x00\x00\x00randomX\x0a\x00\x00\x00_os.system\x93", "", "names random._os.system"},
		{"an attribute that leads anywhere", getattr("cm\nC\n)R", "__globals__"), "", "names \"__globals__\""},
		{"a dotted attribute", getattr("cm\nC\n)R", "f.__globals__"), "", "names \"f.__globals__\""},
		{"an attribute with no name", "c__builtin__\ngetattr\n(cm\nC\nK\x01tR", "", "whose name is a int"},
		{"an attribute's long name", getattr("cm\nC\n", strings.Repeat("a", 1000)), "", "more than 1000 bytes"},
		{"a call of a method", getattr("cm\nC\n)R", "f") + ")R", "", ""},
		{"an instance of a method", getattr("cm\nC\n)R", "f") + ")\x81", "", "byte"},
		{"a vendored copy", "cjoblib.externals.cloudpickle\nloads\n", "", "names joblib.externals.cloudpickle.loads"},
		{"text that is run", "cdataclasses\nmake_dataclass\n", "", "names dataclasses.make_dataclass"},
		{"a file that is written", "cpathlib\nPath.write_text\n", "", "names pathlib.Path.write_text"},

		{"a storage given to who knows", "cm\nmake\nK\x00Q\x85R", "", `at "x": a tensor made by m.make`},
		{"a tensor given to who knows", "cm\nmake\n" + aTensor + "\x85R", "", `at "x": a tensor made by m.make`},
		{"a tensor given to torch's own", "ctorch\nneg\n" + aTensor + "\x85R", "", `at "x": a tensor made by torch.neg`},
		{"a parameter of who knows", "ctorch._utils\n_rebuild_parameter\n(cm\nmake\n)R\x88}tR", "", `at "x": a tensor made by m.make`},
		{"a storage of who knows", "ctorch._utils\n_rebuild_tensor_v2\n(cm\nmake\n)RK\x00K\x04\x85K\x01\x85\x89}tR", "", `at "x": a tensor made by m.make`},
		{"a subclass of who knows", "ctorch._tensor\n_rebuild_from_type_v2\n(cm\nmake\ncm\nT\n)}tR", "", `at "x": a tensor made by m.make`},
		{"bytes that torch would load", "ctorch.storage\n_load_from_bytes\nC\x01a\x85R", "", `at "x": a tensor made by torch.storage._load_from_bytes`},
		{"another rebuild function", "ctorch._utils\n_rebuild_anything\n)R", "", `at "x": a tensor made by torch._utils._rebuild_anything`},
		{"one that nothing holds", "(cm\nmake\n" + aTensor + "\x85R0" + aTensor + "l", "x.0", ""},
	} {
		f, err := pickled(t, "}X\x01\x00\x00\x00x"+c.value+"s")
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "0x") { // as Go prints what it holds
				t.Errorf("%s: %v, want %q", c.what, err, c.fails)
			}
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
		case (len(f.tensors) > 0) != (c.want != "") || c.want != "" && f.tensors[0].Path != c.want:
			t.Errorf("%s: tensors %v, want %q", c.what, f.tensors, c.want)
		}
	}
}

// text is a BINUNICODE.
func text(s string) string {
	return "X" + string([]byte{byte(len(s)), byte(len(s) >> 8), 0, 0}) + s
}
