package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"wreg/export"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view"
)

// everyDamage: each architecture has some of the damages done to it, so that
// every one is done to a dozen of them; -damages 1 does all to all, which takes minutes.
var everyDamage = flag.Int("damages", 16, "do every `N`-th damage to each architecture")

// Export refuses a checkpoint if and only if gaps has rows, and both name the same
// tensors with the same reasons; so do lint, missing, changed and extra, a saved check
// fails then, and coverage counts them: over every architecture, in every form it is
// stored in, and what can be wrong with a checkpoint of it.
func TestOneQuestionHasOneAnswer(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldens, "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	var cases, refused atomic.Int64
	every := *everyDamage
	t.Run("architectures", func(t *testing.T) {
		for k, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				t.Parallel()
				c, err := synth.Golden(file)
				if err != nil {
					t.Fatal(err)
				}
				all := slices.Concat(damaged(t, c, k), ggufs(t, c, k))
				turn := k
				all = slices.DeleteFunc(all, func(damage) bool { turn++; return turn%every > 0 })
				cases.Add(int64(len(all)))
				const together = 8 // models in one registry, each of which looks at all
				for list := range slices.Chunk(all, together) {
					refused.Add(agree(t, list))
				}
			})
		}
	})
	if n, no := cases.Load(), refused.Load(); n < 9000/int64(every) || no < n/2 || no > n*19/20 {
		t.Errorf("%d cases, %d of them refused", n, no)
	}
}

// resolved lays tensors against the architecture of their config.
func resolved(t *testing.T, text []byte, list tensor.List) (*arch.Resolution, error) {
	config, err := arch.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.FindFor(t.Context(), "", config, list)
	if err != nil {
		t.Fatal(err)
	}
	return a.Resolve(t.Context(), config, list)
}

// agree asks everyone about some checkpoints, and counts those that are refused.
func agree(t *testing.T, list []damage) (refusals int64) {
	root := t.TempDir()
	r, err := registry.Open(filepath.Join(root, "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	found := make([]*arch.Resolution, len(list))
	revisions := make([]*registry.Revision, len(list))
	for i, d := range list {
		v := registry.Revision{Model: fmt.Sprintf("m%d", i), Root: root, Config: d.config}
		slices.SortFunc(d.list, func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
		var err error
		if found[i], err = resolved(t, d.config, d.list); err == nil { // else all must say so
			v.Layout = found[i].Layout
		}
		if revisions[i], err = r.Put(t.Context(), v, d.list); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
	}
	err = r.View(func(s *registry.Snapshot) error {
		for i, d := range list {
			refused, resolved, why := refusal(t.Context(), s, revisions[i], root)
			if why == "" {
				why = differs(t.Context(), s, revisions[i], refused, i)
			}
			if why == "" && refused != nil {
				why = linted(found[i], resolved)
			}
			if why != "" {
				t.Errorf("%s: %s", d.name, why)
			}
			if len(refused) > 0 {
				refusals++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refusals
}

// refusal is what export refuses a checkpoint for: reasons by status and path, and those
// that are known without a registry.
func refusal(ctx context.Context, s *registry.Snapshot, v *registry.Revision, root string) (refused, resolved map[string]string, why string) {
	_, err := export.New(ctx, s, v, export.Options{Out: filepath.Join(root, "out")})
	var gaps *export.GapError
	if err != nil && !errors.As(err, &gaps) {
		// What says nothing of tensors is said by whoever is asked.
		_, other := checks[0].query.Run(ctx, s, query.Options{Model: v.Ref()})
		if other == nil || !strings.Contains(other.Error(), err.Error()) {
			return nil, nil, fmt.Sprintf("export says %q, gaps %v", err, other)
		}
		return nil, nil, ""
	}
	refused, resolved = map[string]string{}, map[string]string{}
	if gaps != nil {
		for _, g := range gaps.Gaps {
			resolved[named(g)] = g.Reason
		}
		if err := query.Remedied(ctx, s, v, gaps.Gaps); err != nil {
			return nil, nil, err.Error()
		}
		for _, g := range gaps.Gaps {
			refused[named(g)] = g.Reason
		}
		if why := foldedAlike(ctx, s, v, gaps); why != "" {
			return nil, nil, why
		}
		told, methods := 0, map[string]bool{}
		for _, g := range gaps.Gaps {
			if g.Method == "" || !methods[g.Method] {
				told++
			}
			methods[g.Method] = true
		}
		if lines := len(gaps.Lines()); lines != 1+min(told, 21) {
			return nil, nil, fmt.Sprintf("%d gaps are told in %d lines", len(gaps.Gaps), lines)
		}
	}
	return refused, resolved, ""
}

// foldedAlike says how what a person reads of a refusal differs from what a query shows
// them: the lines must be the same, and stand for every gap.
func foldedAlike(ctx context.Context, s *registry.Snapshot, v *registry.Revision, gaps *export.GapError) string {
	q, err := query.Parse("gaps select path, status, reason, remedy")
	if err != nil {
		return err.Error()
	}
	res, err := q.Run(ctx, s, query.Options{Model: v.Ref()})
	if err != nil {
		return err.Error()
	}
	var shown, told []string
	n := int64(0)
	for _, row := range res.Fold().Rows {
		shown = append(shown, fmt.Sprint(row[1], " ", row[0]))
	}
	for _, l := range view.Fold(gaps.Gaps) {
		told = append(told, l.Status+" "+l.Path)
		n += l.Tensors
	}
	slices.Sort(shown)
	slices.Sort(told)
	switch lines := (&foldedGaps{gaps}).Lines(); {
	case n != int64(len(gaps.Gaps)) || !slices.Equal(shown, told):
		return fmt.Sprintf("a refusal tells of %q, a query shows %q", told, shown)
	case len(lines) > mostLines+3:
		return fmt.Sprintf("a refusal of %d lines", len(lines))
	case len(gaps.Lines()) > 1+mostLines && !strings.Contains(lines[len(lines)-1], "wreg query 'gaps in "+v.Ref()+"'"):
		return fmt.Sprintf("%d lines are told in %d", len(told), len(lines))
	}
	return ""
}

func named(g arch.Gap) string { return g.Status + " " + g.Path }

// checks are a saved check that nothing is amiss, and the same in parts.
var checks = func() []*savedCheck {
	list, err := parseChecks("wreg.checks", `
check whole
  expect none
  gaps select path, status, reason
check missing
  expect none
  missing select path, status, reason
check changed
  expect none
  changed select path, status, reason
check extra
  expect none
  extra select path, status, reason
`)
	if err != nil {
		panic(err)
	}
	return list
}()

// differs says how what others say of a checkpoint differs from what export refuses it
// for. The parts of the question are asked of every fourth.
func differs(ctx context.Context, s *registry.Snapshot, v *registry.Revision, refused map[string]string, k int) string {
	if refused == nil {
		return ""
	}
	all := map[string]string{}
	for i, check := range checks {
		res, err := check.query.Run(ctx, s, query.Options{Model: v.Ref()})
		if err != nil {
			return err.Error()
		}
		part := map[string]string{}
		for _, row := range res.Rows {
			name := fmt.Sprint(row[1], " ", row[0])
			part[name], all[name] = fmt.Sprint(row[2]), fmt.Sprint(row[2])
		}
		if why := unlike(check.name, part, refused, i > 0); why != "" {
			return why
		}
		if check.expect.ok(len(res.Rows)) != (len(part) == 0) {
			return "the check " + check.name + " does not fail"
		}
		if i == 0 && k%4 > 0 {
			break
		}
		if i > 0 && len(all) < len(part) || i == len(checks)-1 && len(all) != len(refused) {
			return fmt.Sprintf("gaps in parts names %d, export %d", len(all), len(refused))
		}
	}
	if k%4 > 0 {
		return ""
	}
	m, err := view.Coverage(ctx, s, v, nil)
	if err != nil {
		return err.Error()
	}
	counts := map[string]int64{}
	for _, row := range coverageReport(m).rows {
		counts[arch.Missing] += row[4].(int64)
		counts[arch.Changed] += row[5].(int64)
		counts[arch.Extra] += row[6].(int64)
	}
	listed := map[string]int64{}
	for name := range refused {
		status, _, _ := strings.Cut(name, " ")
		listed[status]++
	}
	at, err := view.Of(ctx, s, v, nil)
	if err != nil {
		return err.Error()
	}
	if x := at.Verdict; x.Gaps != m.Gaps || x.Expected != m.Total.Expected || x.Missing != m.Total.Missing || x.Changed != m.Total.Changed || x.Extra != m.Total.Extra ||
		(x.State == view.Whole) != (len(refused) == 0) || strings.HasPrefix(x.Export, "refused") != (len(refused) > 0) {
		return fmt.Sprintf("the verdict is %+v, the map has %+v", x, m.Total)
	}
	if m.Gaps != int64(len(refused)) || m.Note == "" && !maps.Equal(counts, map[string]int64{arch.Missing: listed[arch.Missing], arch.Changed: listed[arch.Changed], arch.Extra: listed[arch.Extra]}) {
		return fmt.Sprintf("coverage counts %v, and %v are refused", counts, listed)
	}
	return ""
}

// linted says how what lint finds differs.
func linted(found *arch.Resolution, refused map[string]string) string {
	if found == nil {
		return "not matched at ingest"
	}
	lint, method := map[string]string{}, map[string]string{}
	for _, g := range found.Gaps {
		method[named(g)] = g.Method
	}
	for _, f := range gapFindings(found.Gaps) {
		name := strings.TrimPrefix(f.Rule, "architecture-") + " " + f.Tensor
		if lint[name] = f.Message; strings.HasPrefix(f.Message, refused[name]) {
			lint[name] = refused[name]
		}
		for other, why := range refused { // one weight of a method stands for all
			if method[name] != "" && method[other] == method[name] {
				lint[other] = why
			}
		}
	}
	return unlike("lint", lint, refused, false)
}

// unlike compares reasons; a part need not have all that export names.
func unlike(who string, said, refused map[string]string, part bool) string {
	for _, name := range slices.Sorted(maps.Keys(said)) {
		switch why, ok := refused[name]; {
		case !ok:
			return fmt.Sprintf("only %s names %s (%s)", who, name, said[name])
		case why != said[name]:
			return fmt.Sprintf("%s: %s says %q, export %q", name, who, said[name], why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if _, ok := said[name]; !ok && (!part || strings.HasPrefix(name, who+" ")) {
			return fmt.Sprintf("only export names %s (%s), not %s", name, refused[name], who)
		}
	}
	return ""
}

// ggufs are checkpoints of a family under llama.cpp's names, whole and otherwise.
func ggufs(t *testing.T, c *synth.Case, turn int) (all []damage) {
	config, err := arch.ParseConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	mark := tensor.List{{Path: "token_embd.weight"}}
	a, err := arch.FindFor(t.Context(), "", config, mark)
	if err != nil {
		return nil // no names of llama.cpp's are known
	}
	wants, err := a.Expect(t.Context(), config, arch.HF, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, dtype := range []tensor.DType{tensor.F16, tensor.Q8_0, tensor.Q4_K} {
		var list []tensor.Info
		for _, w := range wants {
			i := tensor.Info{Path: w.Path, DType: tensor.F32, Shape: w.Shape}
			if len(w.Shape) > 1 {
				i.DType = dtype
			}
			i.Bytes, _ = i.Shape.Bytes(i.DType)
			list = append(list, i)
		}
		all = append(all, each("gguf "+dtype.String(), c.Config, list, turn, 1)...)
	}
	return all
}

// An architecture that has llama.cpp's names takes a GGUF without a word from gaps, and
// the plan says whose names they are and what was put back.
func TestGGUFIsWhole(t *testing.T) {
	tried := 0
	for _, name := range arch.Names(arch.MLX) {
		c, err := synth.Golden(filepath.Join(goldens, name+".json"))
		if err != nil {
			continue
		}
		for _, d := range ggufs(t, c, 0) {
			if !strings.HasSuffix(d.name, ": whole") || strings.Contains(d.name, "q4_k") {
				continue
			}
			tried++
			if n := agree(t, []damage{d}); n > 0 {
				t.Errorf("%s, %s: refused", name, d.name)
			}
			root := t.TempDir()
			r, err := registry.Open(filepath.Join(root, "registry.db"), registry.Options{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := r.Put(t.Context(), registry.Revision{Model: "m", Root: root, Config: d.config}, d.list)
			if err != nil {
				t.Fatal(err)
			}
			err = r.View(func(s *registry.Snapshot) error {
				p, err := export.New(t.Context(), s, v, export.Options{Out: filepath.Join(root, "out")})
				if err != nil {
					return err
				}
				notes := strings.Join(p.Notes, "\n")
				turned := strings.Contains(p.Tensors[1].Make.Text(), "permute")
				if !strings.Contains(notes, "llama.cpp's names") || strings.Contains(notes, "put back") != turned {
					t.Errorf("%s: %s (turned: %v)", name, notes, turned)
				}
				return nil
			})
			r.Close()
			if err != nil {
				t.Error(err)
			}
		}
	}
	if tried < 6 {
		t.Errorf("%d tried", tried)
	}
}
