package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"wreg/ingest/quantized"
	"wreg/registry"
	"wreg/registry/arch/wrap"
)

func showCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "show MODEL [TENSOR]",
		Short: "show one model, or one of its tensors, in full",
		Example: `  wreg show hunyuan
  wreg show hunyuan@1 model.embed_tokens.weight
  wreg show hunyuan --json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeModels,
		RunE: func(c *cobra.Command, args []string) error {
			var rows object
			err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				if len(args) == 1 {
					rows = showRevision(v)
					quantized, err := showQuantized(c.Context(), s, v)
					rows = append(rows, field{"quantized", quantized})
					return err
				}
				t, ok, err := s.Lookup(v, args[1])
				if err != nil {
					return err
				}
				if !ok {
					return fmt.Errorf("%s: no tensor %q; wreg query 'find %s in %s' searches", v.Ref(), args[1], "*", v.Ref())
				}
				rows = object{{"model", v.Ref()}, {"path", t.Path}, {"dtype", t.DType}, {"shape", t.Shape}, {"bytes", t.Bytes},
					{"file", t.File}, {"offset", t.Offset}, {"format", t.Format}, {"hash", t.Hash}, {"sum", t.Sum}}
				if st := t.Stats; st != nil {
					rows = append(rows, object{{"min", st.Min}, {"max", st.Max}, {"absmax", st.AbsMax},
						{"nans", st.NaNs}, {"infs", st.Infs}, {"zeros", st.Zeros}}...)
				}
				slices := make([]string, len(t.Slices))
				for i, h := range t.Slices {
					slices[i] = h.String()
				}
				rows = append(rows, field{"slices", slices})
				return nil
			})
			if err != nil {
				return err
			}
			return a.printObject(rows)
		},
	}
	return c
}

func showRevision(v *registry.Revision) object {
	var files, findings []any
	for _, f := range v.Files {
		files = append(files, object{{"name", f.Name}, {"size", f.Size}, {"modified", f.ModTime.UTC().Format(time.RFC3339Nano)}, {"format", f.Format}})
	}
	for _, f := range v.Findings {
		findings = append(findings, object{{"rule", f.Rule}, {"file", f.File}, {"tensor", f.Tensor}, {"message", f.Message}})
	}
	o := object{{"model", v.Ref()}, {"root", v.Root}, {"created", v.Created.UTC().Format(time.RFC3339)}, {"tool", v.Tool}, {"tensors", v.Tensors},
		{"bytes", v.Bytes}, {"layout", v.Layout}, {"names", v.Naming.Flags()}, {"hashed", v.Hashed}, {"source", v.Source},
		{"files", orEmpty(files)}, {"findings", orEmpty(findings)}, {"config", jsonText(v.Config)}}
	if v.Adapter != nil {
		t := wrap.ReadTrained(v.Adapter)
		o = append(o, field{"adapter", t.Kind}, field{"base", t.Base}, field{"rank", t.Rank}, field{"alpha", t.Alpha}, field{"targets", t.Targets})
	}
	if v.Receipt != nil {
		o = append(o, field{"receipt", jsonText(v.Receipt)})
	}
	return o
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

// printObject prints one thing: its fields as JSON, or a line each. Lists and
// nested JSON are for programs; people see how many entries there are.
func (a *app) printObject(o object) error {
	format, err := a.outputFormat()
	if err != nil {
		return err
	}
	if format == "json" || format == "ndjson" {
		return writeJSON(a.out, o, format == "json")
	}
	rep := &report{columns: []string{"field", "value"}}
	for _, f := range o {
		switch v := f.value.(type) {
		case []any:
			for _, e := range v {
				rep.rows = append(rep.rows, []any{f.name, lineOf(e)})
			}
		case []string:
			for _, e := range v {
				rep.rows = append(rep.rows, []any{f.name, e})
			}
		case json.RawMessage:
			rep.rows = append(rep.rows, []any{f.name, size(int64(len(v))) + " of JSON (--json shows it)"})
		default:
			rep.rows = append(rep.rows, []any{f.name, cell(v)})
		}
	}
	return a.print(rep)
}

// lineOf is an object on one line.
func lineOf(v any) string {
	o, ok := v.(object)
	if !ok {
		return cell(v)
	}
	s := ""
	for _, f := range o {
		if c := cell(f.value); c != "" {
			s += "  " + c
		}
	}
	return s[min(2, len(s)):]
}
