package staging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export/receipt"
)

// Of what lies in the way of a new export, only what an export on this machine alone
// wrote, and did not finish, is removed.
func TestOpenRemoves(t *testing.T) {
	sealed, err := (&receipt.Receipt{Format: receipt.Format}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files  []string
		fails  string
		stays  bool
		shared bool
	}{
		{files: []string{JournalName(0, 0), "model.safetensors", "tokenizer.json", "config.json"}},
		{files: []string{JournalName(0, 0), "wreg-spool-journal", "wreg-spool-00001", "model.safetensors"}},
		{files: nil},
		{files: []string{JournalName(0, 0), JournalName(2, 3), "model.safetensors"}, fails: "--finish it"},
		{files: []string{JournalName(1, 2)}, fails: "--finish it"},
		{files: []string{JournalName(0, 0), "notes.md"}, fails: "no export writes"},
		{files: []string{"model.safetensors"}, fails: "no journal"},
		{files: []string{JournalName(0, 0), "model.safetensors", receipt.Name}, stays: true},
		{files: []string{JournalName(1, 2), "model.safetensors"}, shared: true, stays: true},
	} {
		out := filepath.Join(t.TempDir(), "out")
		if err := os.Mkdir(PathOf(out), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range c.files {
			if err := os.WriteFile(filepath.Join(PathOf(out), name), sealed, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Open(out, c.shared, c.shared)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%q: %v, want %q", c.files, err, c.fails)
		}
		if err == nil {
			b.Close()
		}
		left, err := os.ReadDir(PathOf(out))
		if want := len(c.files); err != nil || c.fails == "" && !c.stays && len(left) != 0 || (c.fails != "" || c.stays) && len(left) != want {
			t.Errorf("%q: left are %v (%v)", c.files, left, err)
		}
	}
}

// Lines of a journal that are damaged, or about what is none of the plan's, claim
// nothing; another plan's journal is refused.
func TestClaims(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	b, err := Open(out, false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const sum = "xxh3:000102030405060708090a0b0c0d0e0f"
	line := func(unit, part, n string) string {
		return `{"unit":` + unit + `,"part":` + part + `,"digests":[` + strings.TrimSuffix(strings.Repeat(`["`+sum+`",""],`, len(n)), ",") + "]}\n"
	}
	journal := `{"wreg-journal":1,"plan":"p"}` + "\n" + line("0", "0", "x") + "garbage\n" + line("0", "1", "xx") + line("7", "0", "x") + line("-1", "0", "x") +
		line("0", "2", "") + strings.Repeat("x", 2*maxLine) + "\n" + line("0", "3", "x") + strings.TrimSuffix(line("0", "4", "x"), "\n")
	if err := os.WriteFile(filepath.Join(b.Path, JournalName(0, 0)), []byte(journal), 0o644); err != nil {
		t.Fatal(err)
	}
	tensors := func(k Key) int {
		if k.Unit != 0 {
			return 0
		}
		return 1
	}
	claims, err := b.Claims("p", tensors)
	if err != nil || len(claims) != 2 || claims[Key{0, 0}] == nil || claims[Key{0, 3}] == nil {
		t.Errorf("%v, %v", claims, err)
	}
	if _, err := b.Claims("q", tensors); err == nil || !strings.Contains(err.Error(), "another plan") {
		t.Error(err)
	}
}
