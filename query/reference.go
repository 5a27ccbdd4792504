package query

import "wreg/query/lang"

// Word is something that a query can hold, how it is written and what it means.
type Word = lang.Word

// Reference is all of the language, as the tables hold it that the parser, the engine and
// completion use: for help, manuals and pages.
type Reference struct {
	Verbs, Patterns, Clauses, Operators, Functions []Word
	Columns                                        []Word // of find
	GapColumns                                     []Word // that only gaps have
}

// Language gives the reference.
func Language() Reference {
	columns, all := lang.ColumnWords(false), lang.ColumnWords(true)
	return Reference{
		Verbs: lang.VerbWords(), Patterns: lang.PatternWords, Clauses: lang.ClauseWords(), Operators: lang.OperatorWords,
		Functions: lang.FunctionWords(), Columns: columns, GapColumns: all[len(columns):],
	}
}

// Recipe is a question that people have, and the query that answers it.
type Recipe struct{ Question, Query string }

// Cookbook is a query for most needs. MODEL stands for a model's name.
var Cookbook = []Recipe{
	{"Is anything missing, changed or extra?", "gaps"},
	{"What would mlx_lm look for and not find?", "missing as mlx"},
	{"Which layers differ from the others?", "gaps against layers"},
	{"What did the fine-tune change?", "changed against MODEL"},
	{"Which tensors belong to one layer?", "find layers.3.*"},
	{"Where are the biases?", "find *.bias"},
	{"Which tensors are largest?", "find * order by bytes desc limit 10"},
	{"How much does each dtype take?", "find * group by dtype select dtype, count(), sum(bytes) order by sum(bytes) desc"},
	{"How much does each layer take?", "find * where present(layer) group by layer select layer, count(), sum(bytes)"},
	{"How many parameters are there?", "find * select sum(numel)"},
	{"Does every layer have all experts?", "find experts.*.up_proj.weight group by layer select layer, count() having count() != 64"},
	{"Are there NaN or Inf?", "find * where nans > 0 or infs > 0 select path, nans, infs"},
	{"What overflows in float16?", "find * where absmax > 65504"},
	{"Which weights are all zero?", "find * where zeros = numel"},
	{"Which layer has outliers?", "find down_proj.* group by layer select layer, max(absmax) order by max(absmax) desc limit 5"},
	{"What is stored twice?", "find * group by hash select hash, count(), min(path) having count() > 1"},
	{"Where do two models hold the same bytes?", "find * in * group by hash select count(), min(model), max(model), min(path) having min(model) != max(model)"},
	{"What lies in one shard?", "find * where file ~ model-00001-* order by offset select path, offset, bytes"},
	{"Which matrices cannot be quantized in groups of 64?", "find * where rank = 2 and shape[-1] % 64 != 0"},
	{"What is not bf16?", "find * where dtype != bf16"},
}

// Span is a piece of a query's text that is shown apart, and Part what it is.
type (
	Span = lang.Span
	Part = lang.Part
)

// The parts.
const (
	Keyword = lang.Keyword
	Literal = lang.Literal
	Name    = lang.Name
	Wrong   = lang.Wrong
)

// Spans tells what the pieces of a query are that is being written.
func Spans(text string) []Span { return lang.Spans(text) }
