package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest/regular"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

// queryOptions are the flags of wreg query.
type queryOptions struct {
	model, arch, file string
	expand, exitCode  bool
	diff              *diffOptions // the query is a diff's

	answered func(rows int, wider string, found int) // what the shell goes on with; nil on the command line
}

func (o *queryOptions) flags(a *app, c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&o.model, "model", "m", "", "`MODEL` to ask when the query has no in clause (default $WREG_MODEL)")
	f.StringVar(&o.arch, "arch", "", "architecture `FILE` instead of the one for model_type")
	must(c.RegisterFlagCompletionFunc("model", a.completeModels))
}

// asked is the model that a query without an in clause is about: the flag's, else the
// environment's; "" leaves it to the registry, which may hold one only.
func (o *queryOptions) asked() string { return cmp.Or(o.model, os.Getenv("WREG_MODEL")) }

// whichModel says of a query that could be about several models what to type instead.
func (a *app) whichModel(err error, verb, text string) error {
	which, ok := errors.AsType[*query.WhichError](err)
	if !ok {
		return err
	}
	line := []string{"wreg", verb, text, "-m", which.Newest}
	if a.registry != "" {
		line = append(line, "--registry", a.registry)
	}
	return fmt.Errorf("%w; the newest: %s; WREG_MODEL=NAME chooses one for every query", err, shellLine(line))
}

func queryCommand(a *app) *cobra.Command {
	var o queryOptions
	c := &cobra.Command{
		Use:   "query QUERY",
		Short: "ask what is there and what is missing",
		Long: `Answers a query over the registry. Verbs are find, missing, extra, changed and
gaps; a pattern is a dotted glob that matches at any segment and reaches the
path's end; a find without an answer says which wider pattern has one. On a
terminal rows fold and columns fit; --expand lists them. wreg help query,
wreg help columns and wreg help functions describe the language.`,
		Example: `  wreg query 'missing mlp.switch_mlp.* where layer<64'
  wreg query 'find *.bias' -m llama
  wreg query 'find * where absmax > 65504 and dtype = bf16'
  wreg query 'gaps in hunyuan-mlx against hunyuan' --exit-code
  wreg query 'find experts.*.up_proj.weight group by layer select layer, count() having count() != 16'
  wreg query --file checks.q --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeQuery,
		RunE: func(c *cobra.Command, args []string) error {
			text, err := o.text(a, args)
			if err != nil {
				return err
			}
			return a.query(c.Context(), text, o)
		},
	}
	o.flags(a, c)
	c.Flags().BoolVar(&o.expand, "expand", false, "list every row, also on a terminal")
	c.Flags().BoolVar(&o.exitCode, "exit-code", false, "exit 1 when there is a row, or when against MODEL leaves something that was not compared")
	c.Flags().StringVar(&o.file, "file", "", "read the query from `FILE`, - for stdin")
	annotate(c, oneText, "yes")
	return describe(c, "0 answered, 1 with --exit-code: there are rows, or against MODEL left something that was not compared, 2 trouble (syntax, no such model, nothing to expect)")
}

// queryLimit bounds the text of one query.
const queryLimit = 1 << 20

// text is the query: the argument, or a file's content.
func (o queryOptions) text(a *app, args []string) (string, error) {
	switch {
	case o.file == "" && len(args) == 1:
		return args[0], nil
	case o.file == "":
		return "", fmt.Errorf("which query? for example: wreg query 'find *.bias'")
	case len(args) == 1:
		return "", fmt.Errorf("--file %s and an argument: give one query", o.file)
	}
	in := a.in
	if o.file != "-" {
		f, err := regular.Open(o.file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, queryLimit+1))
	if err == nil && len(data) > queryLimit {
		err = fmt.Errorf("%s: longer than %d bytes", o.file, queryLimit)
	}
	return string(data), err
}

func (a *app) query(ctx context.Context, text string, o queryOptions) error {
	q, err := query.Parse(text)
	if err != nil {
		return err
	}
	var res *query.Result
	var wider, pattern string
	var found int
	var at []place
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		opts := query.Options{Model: o.asked()}
		if opts.Arch, err = readArch(o.arch); err != nil {
			return err
		}
		if res, err = q.Run(ctx, s, opts); err == nil && len(res.Rows) == 0 {
			wider, found, pattern, err = q.Wider(ctx, s, opts)
		}
		if err == nil {
			at, err = a.places(s, res)
		}
		if o.answered != nil {
			return err
		}
		return a.whichModel(err, "query", text)
	})
	if err != nil {
		return err
	}
	if o.answered != nil {
		o.answered(len(res.Rows), wider, found)
	} else if wider != "" {
		line := []string{"wreg", "query", wider}
		if o.model != "" {
			line = append(line, "-m", o.model)
		}
		if a.registry != "" {
			line = append(line, "--registry", a.registry)
		}
		match := "match"
		if found == 1 {
			match = "matches"
		}
		defer func() { a.say("%s %s %s: %s", tensor.Count(found, "row"), match, pattern, shellLine(line)) }()
	}
	for _, n := range res.Notes {
		a.say("%s", n)
	}
	rep := resultReport(res)
	rep.at, rep.empty = at, q.Nothing(res)
	if !o.expand {
		rep.people = func() *report { return forPeople(res.Fold()) }
	}
	some := o.exitCode && len(res.Rows)+res.Unknown > 0
	if o.diff != nil {
		rep.empty = fmt.Sprintf("%s and %s do not differ", o.diff.a, o.diff.b)
		if res.Unknown > 0 {
			rep.empty = ""
			what := "what nothing else tells"
			if res.Unlike > 0 {
				what = "what is quantized by what it stands for"
			}
			if !a.anyFar(o.diff.a, o.diff.b) {
				defer func() { a.say("%s compares %s", o.diff.valuesLine(), what) }()
			}
		}
	} else if some && len(res.Rows) == 0 {
		then := "; wreg diff --values compares values"
		if a.anyFar(strings.Split(res.Model+", "+res.Against, ", ")...) {
			then = ""
		}
		defer func() {
			a.say("%s not compared, which --exit-code takes for a difference%s", tensor.Count(res.Unknown, "tensor"), then)
		}()
	}
	return a.conclude(rep, some, "", "")
}

// anyFar reports that a model lies elsewhere, where values are not read.
func (a *app) anyFar(refs ...string) bool {
	return slices.ContainsFunc(refs, func(ref string) bool {
		v, err := a.latest(ref)
		return err == nil && v != nil && mustBeHere(v) != nil
	})
}

// resultReport is a query's answer, with what JSON says beside the rows.
func resultReport(res *query.Result) *report {
	optional := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return &report{
		head: []field{{"query", res.Query}, {"model", optional(res.Model)},
			{"against", optional(res.Against)}, {"layout", optional(res.Layout)}, {"not_compared", int64(res.Unknown)}},
		columns: res.Columns, rows: res.Rows, rule: "query",
	}
}

// forPeople puts what is said about a row, its reason and remedy, under it.
func forPeople(res *query.Result) *report {
	rep := resultReport(res)
	reason, remedy := slices.Index(rep.columns, "reason"), slices.Index(rep.columns, "remedy")
	if reason < 0 || remedy < 0 {
		return rep
	}
	keep := func(row []any) (kept []any) {
		for i, v := range row {
			if i != reason && i != remedy {
				kept = append(kept, v)
			}
		}
		return kept
	}
	people := &report{empty: rep.empty}
	for i, c := range rep.columns {
		if i != reason && i != remedy {
			people.columns = append(people.columns, c)
		}
	}
	for _, r := range rep.rows {
		people.rows = append(people.rows, keep(r))
		remark := cell(r[reason])
		if m := cell(r[remedy]); m != "" {
			remark += "; " + m
		}
		people.remarks = append(people.remarks, remark)
	}
	return people
}

// completeQuery offers what may follow a query's beginning.
func (a *app) completeQuery(c *cobra.Command, args []string, text string) (out []string, _ cobra.ShellCompDirective) {
	const plain = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) > 0 {
		return nil, plain
	}
	var found []query.Candidate
	model, _ := c.Flags().GetString("model")
	opts := query.Options{Model: (&queryOptions{model: model}).asked()}
	err := a.glance(func(s *registry.Snapshot) error {
		found = query.Complete(c.Context(), text, s, opts)
		return nil
	})
	if err != nil { // no registry yet: the language is known all the same
		found = query.Complete(c.Context(), text, nil, opts)
	}
	return described(found), plain
}

// described are candidates as cobra hands them to a shell.
func described(list []query.Candidate) (out []string) {
	for _, c := range list {
		out = append(out, cobra.CompletionWithDesc(c.Text, c.About))
	}
	return out
}

const explainIndent = 8 // of a line that goes on: behind the name of a clause

func explainCommand(a *app) *cobra.Command {
	var o queryOptions
	c := &cobra.Command{
		Use:     "explain QUERY",
		Short:   "show how a query was understood and how it runs",
		Example: `  wreg explain 'missing mlp.switch_mlp.* where layer<64'`,
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: a.completeQuery,
		RunE: func(c *cobra.Command, args []string) error {
			q, err := query.Parse(args[0])
			if err != nil {
				return err
			}
			return a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				opts := query.Options{Model: o.asked()}
				if opts.Arch, err = readArch(o.arch); err != nil {
					return err
				}
				text, err := q.Explain(c.Context(), s, opts)
				text = strings.TrimSuffix(text, "\n")
				switch {
				case err != nil:
					return a.whichModel(err, "explain", args[0])
				case a.dataFormat() != "":
					return a.printObject(object{{"query", q.Text}, {"explained", strings.Split(text, "\n")}})
				}
				for line := range strings.SplitSeq(escapeLines(text), "\n") {
					for _, l := range breakLine(line, terminalWidth(a.out), explainIndent) {
						if _, err := fmt.Fprintln(a.out, l); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	o.flags(a, c)
	annotate(c, oneText, "yes")
	return c
}
