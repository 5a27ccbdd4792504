package lang

import (
	"slices"
	"strings"

	"wreg/query/rows"
	"wreg/registry/arch"
	"wreg/registry/expr"
)

// Word is something that a query can hold: what help, manuals and completion print of it.
type Word struct {
	Name    string // as it is typed
	Usage   string // in full: "order by VALUE [desc], …"
	About   string
	Example string // a query, or for a pattern the pattern
}

// clauses is the one table of clauses, in the order that most queries have them.
// Expressions follow some, bare words the others: models, layouts.
var clauses = []struct {
	Word
	expressions bool
}{
	{Word{"in", "in MODEL, …", "the models asked: a name is its latest revision, NAME@2 that one, * all", "find *.bias in *"}, false},
	{Word{"against", "against spec|layers|MODEL", "what a gap is measured by: the architecture, what most layers have, or a model", "gaps against layers"}, false},
	{Word{"as", "as hf|mlx", "the layout that the model should have", "missing as mlx"}, false},
	{Word{"where", "where CONDITION", "keeps the rows for which it is true", "find * where nans > 0 or infs > 0"}, true},
	{Word{"select", "select VALUE, …", "the columns of the answer; * is all of them", "find * select path, bytes / numel"}, true},
	{Word{"group by", "group by VALUE, …", "one row for all that agree in these", "find * group by dtype select dtype, count(), sum(bytes)"}, true},
	{Word{"having", "having CONDITION", "keeps the groups for which it is true", "find * group by hash select min(path) having count() > 1"}, true},
	{Word{"order by", "order by VALUE [desc], …", "sorts, least first, or with desc greatest first", "find * order by bytes desc"}, true},
	{Word{"limit", "limit N", "at most so many rows", "find * order by absmax desc limit 10"}, true},
}

// Clauses are the words that begin a clause, and whether expressions follow them
// rather than bare words: models, layouts, patterns.
var Clauses = func() map[string]bool {
	all := map[string]bool{}
	for _, c := range clauses {
		first, _, _ := strings.Cut(c.Name, " ")
		all[first] = c.expressions
	}
	return all
}()

func clauseNames() (names []string) {
	for _, c := range clauses {
		names = append(names, c.Name)
	}
	return names
}

// ClauseWords tell of the clauses.
func ClauseWords() (words []Word) {
	for _, c := range clauses {
		words = append(words, c.Word)
	}
	return words
}

// VerbWords tell of the verbs.
func VerbWords() (words []Word) {
	for _, v := range verbs {
		words = append(words, Word{Name: v.name, Usage: v.name + " PATTERN, …", About: v.about, Example: v.name + " *.weight"})
	}
	return words
}

// ColumnWords tell of the columns that a verb's rows have; Usage is the kind of value.
func ColumnWords(gaps bool) (words []Word) {
	for _, name := range rows.ColumnNames(gaps) {
		c, _ := rows.ColumnNamed(name)
		verb := Find
		if c.OfGaps() {
			verb = "gaps"
		}
		words = append(words, Word{Name: name, Usage: kindWord(c.Kind()), About: c.About(), Example: verb + " * select " + name})
	}
	return words
}

// FunctionWords tell of the aggregates and of the functions of one value.
func FunctionWords() (words []Word) {
	for _, name := range rows.AggregateNames {
		words = append(words, Word{Name: name, Usage: name + "(VALUE)", About: rows.AboutAggregate(name), Example: "find * select " + name + "(bytes)"})
	}
	sample := map[expr.Kind]string{expr.FloatKind: "absmax", expr.StringKind: "path", expr.NullKind: "path"}
	for _, f := range functions {
		words = append(words, Word{Name: f.name, Usage: f.name + "(" + strings.ToUpper(kindWord(f.param)) + ")", About: f.about,
			Example: "find * select " + f.name + "(" + sample[f.param] + ")"})
	}
	return words
}

// kindWord is what a kind is called where a value of it is to be written.
func kindWord(k expr.Kind) string {
	switch {
	case k == expr.NullKind:
		return "value"
	case k.Number():
		return "number"
	case k == expr.StringKind:
		return "text"
	}
	return strings.TrimPrefix(k.String(), "a ")
}

// AgainstWords are what against takes besides models, LayoutWords what as takes.
var (
	AgainstWords = []Word{
		{Name: AgainstSpec, About: "what the architecture expects; so it is without against"},
		{Name: AgainstLayers, About: "what most layers have"},
	}
	LayoutWords = []Word{
		{Name: arch.HF, About: "the hub's names, experts one by one"},
		{Name: arch.MLX, About: "what mlx_lm loads, experts stacked"},
		{Name: arch.MLXVLM, About: "what mlx_vlm loads: the same, and what sees and hears"},
	}
)

// KeywordWords are the words within and behind an expression.
var KeywordWords = []Word{
	{Name: "and", About: "both"}, {Name: "or", About: "either"}, {Name: "not", About: "the opposite"},
	{Name: "in", About: "one of (a, b), or within 0..7"},
	{Name: "asc", About: "least first"}, {Name: "desc", About: "greatest first"},
}

// OperatorWords tell of what may stand between values, the loosest first.
var OperatorWords = []Word{
	{"or", "A or B", "either condition", "find * where nans > 0 or infs > 0"},
	{"and", "A and B", "both conditions", "find * where layer < 4 and dtype = bf16"},
	{"not", "not A", "the condition is false", "find * where not present(absmax)"},
	{"=", "A = B, A != B", "equal or not; text needs no quotes where it is compared with a column of text; = null: there is no value", "find * where layer = null"},
	{"<", "A < B, <=, >, >=", "the order of numbers; of text, by bytes", "find * where bytes >= 1GiB"},
	{"in", "A in (B, …), A not in (B, …)", "one of these", "find * where dtype in (f16, bf16)"},
	{"..", "A in B..C", "from B to C, both included", "find * where layer in 0..7"},
	{"~", "A ~ GLOB, A ~ /REGEXP/", "text that matches: a path segment by segment, other text as a whole", "find * where file ~ model-0*.safetensors"},
	{"??", "A ?? B", "A, or B where A has no value", "find * select path, nans ?? 0"},
	{"if", "A if C else B", "A where the condition is true, else B", "find * select path, 'norm' if rank = 1 else 'matrix'"},
	{"+", "A + B, -, *, /, //, %", "arithmetic; / gives a fraction, // the integer below, % what is left", "find * where layer % 2 = 1"},
	{"[", "shape[0], shape[-1]", "one dimension, counted from the front or from the end", "find * where shape[-1] % 64 != 0"},
}

// PatternWords tell of patterns. A pattern matches at any segment boundary and reaches the
// end of the path.
var PatternWords = []Word{
	{"word", "q_proj.weight", "the path's last segments, letter by letter", "q_proj.weight"},
	{"*", "*", "one segment, or part of one; as the last segment one or more", "mlp.*_proj.*"},
	{"**", "**", "any number of segments", "layers.**.weight"},
	{"?", "?", "one character", "layers.?.*"},
	{"{a,b}", "{a,b}", "either; both may hold dots", "{q_proj,mlp.up_proj}.weight"},
	{"{0..7}", "{0..7}", "a number, both ends included; {4..} and {..3} are open", "experts.{0..7}.*"},
	{"{layer}", "{layer}, {expert}, {n}", "any number", "experts.{expert}.up_proj.weight"},
	{"^", "^", "only at the root of the path", "^lm_head.*"},
	{`\`, `\`, "the next character stands for itself", `odd\*name`},
}

// Values are the words that a column of text is compared with, known without a registry.
func Values(column string) []string {
	switch c, ok := rows.ColumnNamed(strings.ToLower(column)); {
	case !ok:
		return nil
	case c.NamesDType():
		return dtypeNames()
	case c == rows.Status:
		return slices.Clone(verbs[len(verbs)-1].statuses)
	}
	return nil
}
