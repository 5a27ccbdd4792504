package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const troubleshooting = "../../docs/troubleshooting.md"

// The page on troubleshooting has what the tables of rules hold: rules of one advice share a row.
func TestTroubleshooting(t *testing.T) {
	data, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), "<!-- rules -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- /rules -->")
	if !ok || !ok2 {
		t.Fatal("docs/troubleshooting.md: no section rules")
	}
	all := rules()
	var order []string // of advice, by its first rule
	of := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		do := all[id].do
		if do == "" || all[id].means == "" {
			t.Errorf("%s has no text", id)
		}
		if of[do] == nil {
			order = append(order, do)
		}
		of[do] = append(of[do], "`"+id+"`")
	}
	var b strings.Builder
	b.WriteString("| rule | what to do |\n|---|---|\n")
	for _, do := range order {
		b.WriteString("| " + strings.Join(of[do], ", ") + " | " + do + " |\n")
	}
	now := head + "<!-- rules -->\n" + b.String() + "<!-- /rules -->" + tail
	if now == string(data) {
		return
	}
	if !*update {
		t.Fatal("docs/troubleshooting.md is not current; run go test ./cmd/wreg -run Troubleshooting -update")
	}
	if err := os.WriteFile(troubleshooting, []byte(now), 0o666); err != nil {
		t.Fatal(err)
	}
}
