package lang

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/expr"
)

// reflex is what people write who know SQL or another language, and what to write instead.
type reflex struct {
	words   []string // as they are written, in lower case
	say     string
	example string // has it as a query does
}

// verbReflexes begin a query, columnReflexes and functionReflexes stand for a name, and
// reflexes anywhere else.
var (
	verbReflexes = []reflex{
		{[]string{"select"}, "a query begins with what is asked, and select follows", "find * in NAME select path, bytes"},
		{[]string{"show", "list", "ls", "describe", "get", "search", "explain"}, "find lists tensors", "find *"},
		{[]string{"count"}, "find counts by select", "find * select count()"},
		{[]string{"diff", "compare"}, "gaps compares two models", "gaps in NAME against OTHER"},
	}
	columnReflexes = []reflex{
		{[]string{"name", "tensor", "key"}, "the name is path", "find * where path ~ q_proj.*"},
		{[]string{"size", "nbytes", "length"}, "the size is bytes", "find * where bytes > 1MiB"},
		{[]string{"params", "parameters", "elements", "num_elements"}, "the number of elements is numel", "find * select sum(numel)"},
		{[]string{"type", "precision", "datatype"}, "the type is dtype", "find * where dtype = bf16"},
		{[]string{"dims", "ndim", "ndims", "dimensions"}, "the number of dimensions is rank, their sizes are shape", "find * where rank = 2"},
		{[]string{"shard", "filename"}, "the shard is file", "find * select path, file"},
		{[]string{"sha256", "checksum", "digest"}, "the checksum is hash", "find * select path, hash"},
		{[]string{"block", "layer_id", "layer_idx"}, "the number of a layer is layer", "find * where layer < 4"},
		{[]string{"expert_id", "expert_idx"}, "the number of an expert is expert", "find * where expert < 4"},
	}
	functionReflexes = []reflex{
		{[]string{"mean", "average"}, "the mean is avg()", "find * select avg(absmax)"},
		{[]string{"length", "size", "char_length"}, "the length is len()", "find * where len(path) > 60"},
		{[]string{"coalesce", "ifnull", "nvl"}, "a value in place of none is ??", "find * select path, nans ?? 0"},
		{[]string{"exists", "defined", "has", "isnotnull"}, "present() says whether there is a value", "find * where present(absmax)"},
		{[]string{"isnull", "isnan"}, "not present() says that there is no value, nans counts NaN", "find * where not present(absmax)"},
		{[]string{"ceiling"}, "it is ceil()", "find * select ceil(absmax)"},
		{[]string{"lcase", "tolower"}, "it is lower()", "find * where lower(path) ~ *bias"},
		{[]string{"log", "ln", "log10"}, "the logarithm is log2()", "find * select path, log2(absmax)"},
		{[]string{"starts_with", "startswith", "ends_with", "endswith", "contains", "match", "matches", "regexp_like"}, "text is matched by ~", "find * where file ~ model-0*"},
		{[]string{"distinct", "unique"}, "distinct values are groups", "find * group by dtype"},
	}
	reflexes = []reflex{
		{[]string{"from"}, "models follow in", "find * in NAME"},
		{[]string{"like", "ilike", "glob", "contains", "matches", "starts_with", "startswith", "ends_with", "endswith"}, "text is matched by ~ with a pattern", "find * where path ~ q_proj.*"},
		{[]string{"regexp", "rlike", "=~", "!~", "~*"}, "text is matched by ~ with a pattern or /a regular expression/", `find * where path ~ /q_proj\.weight$/`},
		{[]string{"between"}, "a range is in, both ends included", "find * where layer in 1..5"},
		{[]string{"is", "isnull", "notnull"}, "no value is = null, some value != null", "find * where absmax != null"},
		{[]string{"<>", "=!", "!=="}, "not equal is !=", "find * where layer != 1"},
		{[]string{"&&", "&"}, "both is and", "find * where layer = 1 and rank = 2"},
		{[]string{"||", "|"}, "either is or", "find * where layer = 1 or rank = 2"},
		{[]string{"!"}, "the opposite is not", "find * where not present(absmax)"},
		{[]string{"distinct", "unique"}, "distinct values are groups", "find * group by dtype"},
		{[]string{"descending"}, "the greatest first is desc", "find * order by bytes desc"},
		{[]string{"ascending"}, "the least first is asc", "find * order by bytes asc"},
		{[]string{"sort", "sorted", "orderby"}, "rows are sorted by order by", "find * order by bytes desc"},
		{[]string{"groupby"}, "groups are made by group by", "find * group by dtype"},
		{[]string{"offset", "skip"}, "no rows are passed over; the first are limited", "find * limit 10"},
		{[]string{"top", "first", "head", "fetch"}, "the first rows are limited", "find * order by bytes desc limit 10"},
		{[]string{"union", "join", "intersect", "except"}, "one query is asked; several patterns and models are listed", "find *.bias, *.scale in *"},
		{[]string{"with", "filter", "when", "if"}, "a condition follows where", "find * where rank = 2"},
		{[]string{"on", "of", "for", "model", "@"}, "models follow in", "find * in NAME"},
		{[]string{"vs", "versus", "to", "than"}, "what is compared with follows against", "gaps in NAME against OTHER"},
	}
)

// advice is what to write in place of a word.
func advice(word string, table []reflex) (string, bool) {
	i := slices.IndexFunc(table, func(r reflex) bool { return slices.Contains(r.words, strings.ToLower(word)) })
	if i < 0 {
		return "", false
	}
	return table[i].say + ": " + table[i].example, true
}

// misread begins the errors of a text that is no query; others are about what one means.
var misread = []string{"unexpected ", "unknown verb ", "unknown layout ", "as belongs to "}

// renamed is select VALUE as NAME.
var renamed = regexp.MustCompile(`(?i)\bselect\b.*?[\w)\]*"'.]\s+(as)\s+["']?(\w+)`)

// instead words an error that a reflex made by what to write.
func instead(text string, err error) error {
	syntax, ok := errors.AsType[*expr.SyntaxError](err)
	if !ok || syntax.Text == "" || !slices.ContainsFunc(misread, func(begin string) bool { return strings.HasPrefix(syntax.Message, begin) }) {
		return err
	}
	e := *syntax
	e.Expected = ""
	if m := renamed.FindStringSubmatchIndex(e.Text); m != nil && e.Line == 1 && !slices.Contains(arch.Layouts, e.Text[m[4]:m[5]]) {
		e.Column = len([]rune(e.Text[:m[2]])) + 1
		e.Message = "columns keep their names: leave out as " + e.Text[m[4]:m[5]]
		return &e
	}
	first := strings.TrimLeft(text, " \t\r\n")
	first = first[:wordEnd(first)]
	if say, ok := advice(first, verbReflexes); ok {
		e.Line, e.Message, e.Column = 1, say, 1
		e.Text, _, _ = strings.Cut(text, "\n")
		return &e
	}
	line := []rune(e.Text)
	at := min(e.Column-1, len(line))
	before, after := string(line[:at]), string(line[at:])
	trimmed := strings.TrimRight(before, " ")
	words := []string{after[:wordEnd(after)], trimmed[wordStart(trimmed):]}
	if signs := before[len(strings.TrimRight(before, signsOf)):] + after[:len(after)-len(strings.TrimLeft(after, signsOf))]; signs != "" {
		words = []string{signs}
	}
	if strings.HasSuffix(trimmed, "count(") && strings.HasPrefix(after, "*") {
		e.Message = "count() counts rows: find * select count()"
		return &e
	}
	for _, w := range words {
		if say, ok := advice(w, reflexes); ok && w != "" {
			e.Message = say
			return &e
		}
	}
	return err
}

const signsOf = "<>=!&|~"

func wordEnd(s string) int {
	end := 0
	for end < len(s) && wordByte(s[end]) {
		end++
	}
	return end
}

func wordStart(s string) int {
	at := len(s)
	for at > 0 && wordByte(s[at-1]) {
		at--
	}
	return at
}

func wordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_'
}
