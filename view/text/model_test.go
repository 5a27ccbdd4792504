package text

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"wreg/view"
)

func glance() *view.Model {
	return &view.Model{
		Ref: "ds61b@1", Root: "/models/ds61b", Created: time.Date(2026, 11, 28, 7, 6, 0, 0, time.UTC), Tool: "wreg 0.1.0", Arch: "deepseek_v3", Layout: "hf",
		Tensors: 58450, Params: 120_600_000, Bytes: 241167872, Bits: 16, Files: 3, Shards: 1, Layers: 61, Experts: 320,
		DTypes:     []view.Share{{Name: "bf16", Bytes: 241167872}},
		Components: []view.Share{{Name: "experts", Bytes: 236_000_000}, {Name: "attention", Bytes: 2_600_000}, {Name: "mlp", Bytes: 2_560_000}, {Name: "norms", Bytes: 7_872}},
		Values:     &view.Values{Tensors: 58450, AbsMax: 0.125, AbsMaxAt: "x"},
		Quantized:  &view.Estimate{Bytes: 68 << 20, Bits: 4.5},
		Verdict:    view.Verdict{State: view.Whole, Export: "1096 tensors, 230 MiB", Next: []string{"wreg export ds61b@1 --out ds61b-mlx"}},
	}
}

func TestModel(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	gapped := glance()
	gapped.Quantized, gapped.Source = nil, "other@2"
	gapped.Verdict = view.Verdict{State: view.Gapped, Gaps: 5, Findings: 1, Export: "refused: 5 gaps", Next: []string{"wreg coverage ds61b@1", "wreg query 'gaps in ds61b@1'"}, Lines: []view.Line{
		{Path: "model.layers.17.mlp.experts.{30..33}.up_proj.weight", Status: "missing", Reason: "expert {30..33} of 320 absent in layer 17", Remedy: "lost: nothing in the checkpoint makes it", Tensors: 4},
		{Path: "model.layers.44.self_attn.o_proj.weight", Status: "changed", Reason: "shape [1], expected [2]", Tensors: 1}}}
	gapped.Findings = []view.Finding{{Rule: "all-zero", Message: "a note", Note: true}, {Rule: "absent-shard", Message: "a fault"}}
	for _, c := range []struct {
		name  string
		m     *view.Model
		width int
		want  string
	}{
		{"whole", glance(), 80, `
ds61b@1  deepseek_v3 · hf layout · bf16                                    WHOLE
120.6 M parameters in 58,450 tensors · 230 MiB in 1 shard · 61 layers
320 experts
16 bits a parameter · at 4 bits 68 MiB (4.5 bits) · NaN 0 · Inf 0 · absmax 0.125
dtype    bf16 ████████████████████████████ 100 %
parts    experts ████████████████▋ 98 %   attention ▏ 1 %   mlp ▏ 1 %   +1
export   --target mlx: 1096 tensors, 230 MiB
next     wreg export ds61b@1 --out ds61b-mlx
from     /models/ds61b
         3 files, ingested 2026-11-28 07:06 by wreg 0.1.0`},
		{"gaps", gapped, 80, `
ds61b@1  deepseek_v3 · hf layout · bf16                        5 GAPS, 1 finding
120.6 M parameters in 58,450 tensors · 230 MiB in 1 shard · 61 layers
320 experts
16 bits a parameter · NaN 0 · Inf 0 · absmax 0.125
dtype    bf16 ████████████████████████████ 100 %
parts    experts ████████████████▋ 98 %   attention ▏ 1 %   mlp ▏ 1 %   +1
missing  model.layers.17.mlp.experts.{30..33}.up_proj.weight
         expert {30..33} of 320 absent in layer 17; lost: nothing in the
         checkpoint makes it
changed  model.layers.44.self_attn.o_proj.weight
         shape [1], expected [2]
finding  absent-shard: a fault
note     all-zero: a note
export   --target mlx: refused: 5 gaps
next     wreg coverage ds61b@1 · wreg query 'gaps in ds61b@1'
made of  other@2
from     /models/ds61b
         3 files, ingested 2026-11-28 07:06 by wreg 0.1.0`},
	} {
		lines := Model(c.m, Options{Width: c.width})
		fits(t, c.name, lines, c.width)
		if got := strings.Join(lines, "\n"); got != strings.TrimPrefix(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant%s", c.name, got, c.want)
		}
	}
}

// Whatever there is to say, it fits the terminal, and there are few lines.
func TestModelFits(t *testing.T) {
	long := strings.Repeat("层.<img src=x onerror=1>\x1b[31m ", 20)
	m := glance()
	m.Ref, m.Root, m.Tool, m.Source = long, long, long, long
	for i := range 40 {
		m.DTypes = append(m.DTypes, view.Share{Name: fmt.Sprintf("f%d", i), Bytes: 1 << 20})
		m.Components = append(m.Components, view.Share{Name: fmt.Sprintf("部分%d", i), Bytes: 1 << 20})
		m.Findings = append(m.Findings, view.Finding{Rule: "rule", Message: long, Note: i%2 == 0})
		m.Verdict.Lines = append(m.Verdict.Lines, view.Line{Path: long, Status: "missing", Reason: long, Remedy: long, Tensors: 1 << 40})
	}
	m.Tensors, m.Params, m.Bytes, m.Values.NaNs, m.Values.Zero, m.Values.Tensors = 1<<40, 1<<60, 1<<60, 1<<40, 1<<40, 3
	m.Verdict.State, m.Verdict.Gaps, m.Verdict.Findings, m.Verdict.Export, m.Verdict.Next = view.Gapped, 1<<40, 77, long, []string{long, long}
	for _, m := range []*view.Model{m, {}, {Problem: "m@1 has no config.json, so its architecture is unknown", Verdict: view.Verdict{State: view.Unknown}}} {
		for width := 20; width <= 240; width += 10 {
			for _, colours := range []bool{false, true} {
				lines := Model(m, Options{Width: width, Colours: colours})
				fits(t, "model", lines, width)
				if width >= 80 && len(lines) > 26 {
					t.Errorf("%d lines at %d columns", len(lines), width)
				}
				if strings.Contains(strings.Join(lines, ""), "onerror=1>\x1b") {
					t.Error("a name acts")
				}
			}
		}
	}
}

// What is to be typed is whole or not there, and no space comes into a word that is cut.
func TestNextIsWhole(t *testing.T) {
	m := glance()
	name := strings.Repeat("long-name-", 12)
	m.Root = "/models/" + name
	export, look := "wreg export "+name+"@1 --out "+name+"-mlx", "wreg coverage "+name
	m.Verdict.Next = []string{export, look}
	for width := 30; width <= 400; width += 7 {
		lines := Model(m, Options{Width: width})
		fits(t, "model", lines, width)
		shown, next, in := "", "", false
		for _, l := range lines {
			l = pad(l, labelWidth)
			if l[:labelWidth] != strings.Repeat(" ", labelWidth) {
				in = strings.HasPrefix(l, "next ")
			}
			if in {
				next += l[labelWidth:]
			}
			if strings.HasPrefix(l, "from ") {
				shown = l[labelWidth:]
			}
		}
		bare := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if next = bare(next); next != "" && next != bare(export) && next != bare(export+"·"+look) || next == "" && width > 140 {
			t.Errorf("%d columns: next %q", width, next)
		}
		if strings.Contains(shown, " ") {
			t.Errorf("%d columns: from %q", width, shown)
		}
	}
}
