// Package report writes a model as one page that is attached, mailed or kept: whether
// it is whole, where it comes from, its map, gaps, values and tensors, and the commands
// that say the same. It opens without a network, in any theme, and prints.
//
// Most users need [Gather] and [Data.Write].
//
// Invariants: equal registries give equal bytes, but for a date that is asked for; what
// was read from a checkpoint is inert data, which the page's own program shows as text;
// the page's policy allows that program and its style sheet, and nothing else.
package report

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"wreg/export/receipt"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/words"
)

// Data is what a report shows, as the page's program reads it.
type Data struct {
	Wreg        string      `json:"wreg"` // what wrote it
	Generated   string      `json:"generated,omitempty"`
	Model       *view.Model `json:"model"`
	Names       string      `json:"names,omitempty"` // the flags of ingest that changed them
	Hashed      bool        `json:"hashed"`
	MapFault    string      `json:"map_fault,omitempty"`    // why there is no map
	RangesFault string      `json:"ranges_fault,omitempty"` // why there are no plots of values
	Files       []File      `json:"files"`
	Checks      []Check     `json:"checks"`
	Receipt     *Receipt    `json:"receipt,omitempty"`
	Against     string      `json:"against,omitempty"` // the model it is compared with
	Left        Left        `json:"left"`

	layers  layers
	tensors string
}

// layers is what a page shows by layer, which is large, and so apart.
type layers struct {
	Map     *view.Map        `json:"map,omitempty"`
	Ranges  *view.Spread     `json:"ranges,omitempty"`
	Against *view.Comparison `json:"against,omitempty"`
}

// File is a file of the checkpoint.
type File struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Modified string `json:"modified"`
	Format   string `json:"format"`
}

// Check is a saved check and how it went.
type Check struct {
	Name     string `json:"name"`
	Result   string `json:"result"` // pass, fail or error
	Expected string `json:"expected"`
	Message  string `json:"message"`
}

// Receipt is what an export left as proof, without its lists of tensors.
type Receipt struct {
	Tool    string `json:"tool"`
	Model   string `json:"model"`
	Arch    string `json:"architecture"`
	Target  string `json:"target"`
	DType   string `json:"dtype,omitempty"`
	Prove   string `json:"prove"`
	Plan    string `json:"plan"`
	Root    string `json:"root"`
	Tensors int    `json:"tensors"`
	Sources int    `json:"sources"`
	Copied  int    `json:"copied"`  // sources that went into an output
	Dropped int    `json:"dropped"` // sources that were left out, each by a rule
	Shards  int    `json:"shards"`
	Sealed  bool   `json:"sealed"`
	Fault   string `json:"fault,omitempty"` // why it cannot be read
}

// Left counts what a list has no room for.
type Left struct {
	Files    int `json:"files,omitempty"`
	Findings int `json:"findings,omitempty"`
	Gaps     int `json:"gaps,omitempty"`
	Against  int `json:"against,omitempty"`
	Unequal  int `json:"unequal,omitempty"`
	Overflow int `json:"overflow,omitempty"`
	Vanish   int `json:"vanish,omitempty"`
}

// What a page has room for; the command line lists the rest, and the page says so.
const (
	maxList  = 1000
	maxCells = 50_000
)

// Options are what a report has beside the model.
type Options struct {
	Tool      string
	Generated time.Time        // zero: not told
	Against   *view.Comparison // with another model; nil: none
	Arch      *arch.Arch
	Checks    []Check
}

// Gather collects a report of a revision.
func Gather(ctx context.Context, s *registry.Snapshot, v *registry.Revision, o Options) (*Data, error) {
	model, err := view.Of(ctx, s, v, o.Arch)
	if err != nil {
		return nil, err
	}
	d := &Data{Wreg: o.Tool, Model: model, Names: v.Naming.Flags(), Hashed: v.Hashed, Checks: append([]Check{}, o.Checks...), Files: []File{}}
	if !o.Generated.IsZero() {
		d.Generated = o.Generated.UTC().Format(time.RFC3339)
	}
	if err := d.cover(ctx, s, v, o.Arch); err != nil {
		return nil, err
	}
	for _, f := range v.Files {
		modified := "" // where nothing says
		if !f.ModTime.IsZero() {
			modified = f.ModTime.UTC().Format(time.RFC3339)
		}
		d.Files = append(d.Files, File{f.Name, f.Size, modified, f.Format})
	}
	if v.Receipt != nil {
		d.Receipt = summary(v.Receipt)
	}
	if err := d.ranges(ctx, s, v, o.Arch); err != nil {
		return nil, err
	}
	if d.tensors, err = pack(ctx, s.Tensors(ctx, v)); err != nil {
		return nil, err
	}
	d.Left.Files, d.Left.Findings, d.Left.Gaps = bound(&d.Files), bound(&model.Findings), bound(&model.Verdict.Lines)
	if c := o.Against; c != nil {
		if err := d.compared(c); err != nil {
			return nil, err
		}
	}
	inert(reflect.ValueOf(d))
	inert(reflect.ValueOf(&d.layers))
	return d, nil
}

// Whole says that the model is what its architecture expects, and that nothing was
// found or failed.
func (d *Data) Whole() bool {
	return d.Model.Verdict.State == view.Whole && d.Model.Verdict.Findings == 0 && d.Failed() == 0
}

// Failed counts the checks that did not pass.
func (d *Data) Failed() (n int) {
	for _, c := range d.Checks {
		if c.Result != "pass" {
			n++
		}
	}
	return n
}

// Summary is what there is to say of the model, in a few words.
func (d *Data) Summary() string {
	v, said := d.Model.Verdict, []string{}
	switch v.State {
	case view.Whole:
		said = append(said, "whole")
	case view.Gapped:
		said = append(said, tensor.Count(int(v.Gaps), "gap"))
	default:
		said = append(said, "no architecture to judge it by")
	}
	if v.Findings > 0 {
		said = append(said, tensor.Count(v.Findings, "finding"))
	}
	if failed := d.Failed(); failed > 0 {
		said = append(said, tensor.Count(failed, "check")+" not passed")
	}
	return strings.Join(said, ", ")
}

// cover draws the map: against the architecture where one is known, else of what is
// there. A model that no map shows has a report all the same.
func (d *Data) cover(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) error {
	var m *view.Map
	var err error
	if d.Model.Problem == "" {
		m, err = view.Coverage(ctx, s, v, a)
	} else {
		m, err = view.Present(ctx, s, v)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && len(m.Rows)*max(1, len(m.Layers)) > maxCells {
		err = fmt.Errorf("%d components by %d layers are more than a page has room for", len(m.Rows), len(m.Layers))
	}
	if err != nil {
		d.MapFault = err.Error()
		return nil
	}
	d.layers.Map = m
	return nil
}

// ranges gathers how far values reach, where statistics say so and a page has room.
func (d *Data) ranges(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) error {
	if d.Model.Values == nil {
		return nil
	}
	r, err := view.Ranges(ctx, s, v, a)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && len(r.Bands)*max(1, len(r.Layers)) > maxCells {
		err = fmt.Errorf("%d modules by %d layers are more than a page has room for", len(r.Bands), len(r.Layers))
	}
	if err != nil {
		d.RangesFault = err.Error()
		return nil
	}
	d.layers.Ranges = r
	d.Left.Overflow, d.Left.Vanish = bound(&r.Float16.Overflow), bound(&r.Float16.Vanish)
	return nil
}

// compared takes a comparison of the model with another.
func (d *Data) compared(c *view.Comparison) error {
	if c.B != d.Model.Ref {
		return fmt.Errorf("%s is compared with %s, and the report is about %s", c.B, c.A, d.Model.Ref)
	}
	kept := *c
	if len(c.Parts)*max(1, len(c.Layers)) > maxCells {
		kept.Parts, kept.Layers = nil, nil
		kept.Notes = append(slices.Clone(c.Notes), fmt.Sprintf("%d modules by %d layers are more than a page has room for", len(c.Parts), len(c.Layers)))
	}
	kept.Tensors = slices.Clone(c.Tensors)
	slices.SortStableFunc(kept.Tensors, func(a, b view.Difference) int { return cmp.Compare(moved(b), moved(a)) })
	d.Left.Against, d.Left.Unequal = bound(&kept.Lines), bound(&kept.Tensors)
	d.Against, d.layers.Against = c.A, &kept
	if d.layers.Map != nil {
		c.Errors(d.layers.Map)
	}
	return nil
}

// moved is by how much a tensor changed; what was not measured comes last.
func moved(x view.Difference) float64 {
	if x.Change == nil || x.Change.Relative == nil {
		return -1
	}
	return *x.Change.Relative
}

// summary reads a receipt. That it cannot be read is shown, not hidden.
func summary(data []byte) *Receipt {
	r, err := receipt.Parse(data)
	if err != nil {
		return &Receipt{Fault: err.Error()}
	}
	sum := &Receipt{Tool: r.Tool, Model: r.Model, Arch: r.Architecture, Target: r.Target, DType: r.DType, Prove: r.Prove, Plan: r.Plan,
		Root: r.Root, Tensors: len(r.Tensors), Sources: len(r.Sources), Shards: len(r.Shards), Sealed: receipt.Sealed(data)}
	for _, src := range r.Sources {
		if src.Dropped != "" {
			sum.Dropped++
		} else {
			sum.Copied++
		}
	}
	return sum
}

// bound shortens a list to what a page has room for, and says how many are left out.
func bound[T any](list *[]T) (left int) {
	left = max(0, len(*list)-maxList)
	*list = (*list)[:len(*list)-left]
	return left
}

// inert makes every text below v safe to show, names that strangers chose and what
// speaks of them, and every list one.
func inert(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(words.Inert(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			inert(v.Elem())
		}
	case reflect.Slice:
		if v.IsNil() && v.CanSet() { // a list is a list for the page's program, never null
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			inert(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() { // what is exported
				inert(f)
			}
		}
	}
}
