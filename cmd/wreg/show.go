package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"wreg/ingest/quantized"
	"wreg/registry"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
	"wreg/view"
	viewtext "wreg/view/text"
)

func showCommand(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "show MODEL [TENSOR]",
		Short: "show one model at a glance, or one of its tensors",
		Long: `Shows what a model is, how large, whether it is whole, what an export would be
and what to type next. --all adds files, findings and quantized modules; --json
has everything. With a tensor, everything that is recorded of it.`,
		Example: `  wreg show hunyuan
  wreg show hunyuan --all
  wreg show hunyuan@1 model.embed_tokens.weight
  wreg show hunyuan --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			var rows object
			var m *view.Model
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				if len(args) == 2 {
					rows, err = showTensor(c.Context(), s, v, args[1])
					return err
				}
				if m, err = view.Of(c.Context(), s, v, nil); err != nil {
					return err
				}
				if format, err := a.outputFormat(); err != nil || format == "table" && !all {
					return err // the glance is all that is shown
				}
				rows, err = showRevision(c.Context(), s, v, m)
				return err
			})
			if err != nil {
				return err
			}
			return a.printModel(rows, m, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list files, findings and quantized modules, too")
	return c
}

// showTensor is everything that is recorded of a tensor.
func showTensor(ctx context.Context, s *registry.Snapshot, v *registry.Revision, path string) (object, error) {
	t, ok, err := s.Lookup(v, path)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notThere(ctx, s, v, path)
	}
	rows := object{{"model", v.Ref()}, {"path", t.Path}, {"dtype", t.DType}, {"shape", t.Shape}, {"bytes", t.Bytes},
		{"file", t.File}, {"offset", t.Offset}, {"format", t.Format}, {"trust", trustOf(v, t.File)}, {"hash", t.Hash}, {"sum", t.Sum}}
	if st := t.Stats; st != nil {
		rows = append(rows, object{{"min", st.Min}, {"max", st.Max}, {"absmax", st.AbsMax},
			{"nans", st.NaNs}, {"infs", st.Infs}, {"zeros", st.Zeros}}...)
	}
	slices := make([]string, len(t.Slices))
	for i, h := range t.Slices {
		slices[i] = h.String()
	}
	return append(rows, field{"slices", slices}), nil
}

// moment is a time as JSON has it, "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// trustOf is how what is recorded of a file's tensors is known.
func trustOf(v *registry.Revision, file string) string {
	for _, f := range v.Files {
		if f.Name == file {
			return f.Trust.String()
		}
	}
	return ""
}

// forJSON is what only JSON has room for.
type forJSON struct{ value any }

func (f forJSON) MarshalJSON() ([]byte, error) {
	s, err := marshal(f.value)
	return []byte(s), err
}

func showRevision(ctx context.Context, s *registry.Snapshot, v *registry.Revision, m *view.Model) (object, error) {
	var files, findings []any
	for _, f := range v.Files {
		files = append(files, object{{"name", f.Name}, {"size", f.Size}, {"modified", moment(f.ModTime)}, {"format", f.Format}, {"digest", f.Digest}, {"trust", f.Trust.String()}})
	}
	for _, f := range v.Findings {
		findings = append(findings, object{{"rule", f.Rule}, {"file", f.File}, {"tensor", f.Tensor}, {"message", f.Message}})
	}
	o := object{{"model", v.Ref()}, {"root", v.Root}, {"created", v.Created.UTC().Format(time.RFC3339)}, {"tool", v.Tool}, {"tensors", v.Tensors},
		{"bytes", v.Bytes}, {"layout", v.Layout}, {"names", v.Naming.Flags()}, {"hashed", v.Hashed}, {"trust", tensor.Least(v.Files).String()}, {"source", v.Source},
		{"files", orEmpty(files)}, {"findings", orEmpty(findings)}, {"config", jsonText(v.Config)}}
	if v.Adapter != nil {
		t := wrap.ReadTrained(v.Adapter)
		o = append(o, field{"adapter", t.Kind}, field{"base", t.Base}, field{"rank", t.Rank}, field{"alpha", t.Alpha}, field{"targets", t.Targets})
	}
	if v.Receipt != nil {
		o = append(o, field{"receipt", jsonText(v.Receipt)})
	}
	list, err := showQuantized(ctx, s, v)
	if err != nil {
		return nil, err
	}
	return append(o, object{{"quantized", list}, {"arch", m.Arch}, {"problem", m.Problem}, {"params", m.Params}, {"bits", m.Bits}, {"layers", m.Layers},
		{"experts", m.Experts}, {"shards", int64(m.Shards)}, {"state", m.Verdict.State}, {"gaps", m.Verdict.Gaps}, {"export", m.Verdict.Export},
		{"at_4_bits", forJSON{m.Quantized}}, {"dtypes", forJSON{m.DTypes}}, {"components", forJSON{m.Components}},
		{"values", forJSON{m.Values}}, {"verdict", forJSON{m.Verdict}}}...), nil
}

// showQuantized lists the logical tensors that MLX stores as packed weight, scales
// and biases.
func showQuantized(ctx context.Context, s *registry.Snapshot, v *registry.Revision) ([]any, error) {
	all, err := tensorsOf(ctx, s, v)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, q := range quantized.Find(all, v.Config) {
		list = append(list, object{{"path", q.Path}, {"shape", q.Shape}, {"dtype", q.DType}, {"bytes", q.Bytes}, {"mode", q.Mode},
			{"bits", q.Bits}, {"group_size", q.Group}, {"assumed", q.Assumed}, {"parts", q.Parts}})
	}
	return list, nil
}

func orEmpty(list []any) []any {
	if list == nil {
		return []any{}
	}
	return list
}

// jsonText embeds JSON as it is, and anything else as text.
func jsonText(data []byte) any {
	switch {
	case data == nil:
		return nil
	case json.Valid(data):
		return json.RawMessage(data)
	}
	return string(data)
}

// printObject prints one thing: its fields as JSON, or a line each.
func (a *app) printObject(o object) error { return a.printModel(o, nil, false) }

// printModel is printObject, but that on a terminal people see
// the model at a glance, where there is one, and numbers as they read them.
func (a *app) printModel(o object, m *view.Model, all bool) error {
	format, err := a.outputFormat()
	if err != nil {
		return err
	}
	if format == "json" || format == "ndjson" {
		return writeJSON(a.out, o, format == "json")
	}
	people := format == "table"
	if people && m != nil {
		if err := a.printLines(func(o viewtext.Options) []string { return viewtext.Model(m, o) }); err != nil || !all {
			return err
		}
		o = slices.DeleteFunc(o, func(f field) bool { return !slices.Contains(listed, f.name) })
	}
	rep := &report{columns: []string{"field", "value"}}
	for _, f := range o {
		switch v := f.value.(type) {
		case forJSON:
		case []any:
			for _, e := range v {
				rep.rows = append(rep.rows, []any{f.name, lineOf(e)})
			}
		case []string:
			if people && len(v) > 0 {
				rep.rows = append(rep.rows, []any{f.name, tensor.Count(len(v), "hash") + " (--json shows them)"})
				continue
			}
			for _, e := range v {
				rep.rows = append(rep.rows, []any{f.name, e})
			}
		case json.RawMessage:
			rep.rows = append(rep.rows, []any{f.name, size(int64(len(v))) + " of JSON (--json shows it)"})
		case float64:
			if people {
				rep.rows = append(rep.rows, []any{f.name, strconv.FormatFloat(v, 'g', 6, 64)})
				continue
			}
			rep.rows = append(rep.rows, []any{f.name, plain(v)})
		default:
			rep.rows = append(rep.rows, []any{f.name, plain(v)})
		}
	}
	return a.print(rep)
}

// listed are the fields that --all adds to a model at a glance.
var listed = []string{"names", "root", "files", "findings", "adapter", "base", "rank", "alpha", "targets", "quantized"}

// lineOf is an object on one line.
func lineOf(v any) string {
	o, ok := v.(object)
	if !ok {
		return plain(v)
	}
	s := ""
	for _, f := range o {
		if c := plain(f.value); c != "" {
			s += "  " + c
		}
	}
	return s[min(2, len(s)):]
}
