package query

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"wreg/query/fold"
	"wreg/query/gaps"
	"wreg/query/lang"
	"wreg/registry"
	"wreg/registry/tensor"
)

// maxCompletions bounds what Complete returns.
const maxCompletions = 200

// Candidate is a text that a query can go on as, and what its last word means.
type Candidate struct{ Text, About string }

// Complete lists what a query begun as text can go on as: verbs, clauses, columns,
// functions, values, models and segments of paths. Each begins with text. Without a
// snapshot, models and paths are left out; of o, the model says whose paths.
func Complete(ctx context.Context, text string, s *registry.Snapshot, o Options) []Candidate {
	at := wordStart(text, " ,(\t\n")
	fields := strings.Fields(strings.ReplaceAll(text[:at], ",", " , "))
	clause, last := lastClause(fields)
	if lang.Clauses[clause] { // in an expression operators end a word too
		at = wordStart(text, " ,(\t\n<>=!+-*/%~[")
		fields = strings.Fields(strings.ReplaceAll(text[:at], ",", " , "))
		if len(fields) > 0 {
			last = strings.ToLower(fields[len(fields)-1])
		}
	}
	head, begun := text[:at], text[at:]
	var words []lang.Word
	switch {
	case len(fields) == 0:
		words = lang.VerbWords()
	case clause == "group" && last == "group" || clause == "order" && last == "order":
		words = []lang.Word{{Name: "by"}}
	case clause == "in" && (last == "in" || last == ","):
		words = modelWords(s, begun)
	case clause == "against" && last == "against":
		words = append(slices.Clone(lang.AgainstWords), modelWords(s, begun)...)
	case clause == "as" && last == "as":
		words = lang.LayoutWords
	case clause == "" && (len(fields) == 1 || last == ","):
		words = append(pathWords(ctx, begun, s, strings.ToLower(fields[0]), o), named(clauseWords(), "where", "in")...)
	case lang.Clauses[clause] && clause != "limit" && comparedWith(head) != "":
		words = valueWords(ctx, comparedWith(head), s, o)
	case lang.Clauses[clause] && clause != "limit" && wantsValue(head, last):
		words = expressionWords(strings.ToLower(fields[0]))
	case lang.Clauses[clause] && clause != "limit":
		words = append(clauseWords(), keywordsOf(clause)...)
	default:
		words = clauseWords()
	}
	var list []Candidate
	for _, w := range words {
		if strings.HasPrefix(w.Name, begun) && len(list) < maxCompletions {
			list = append(list, Candidate{head + w.Name, w.About})
		}
	}
	slices.SortStableFunc(list, func(a, b Candidate) int { return cmp.Compare(a.Text, b.Text) })
	return slices.CompactFunc(list, func(a, b Candidate) bool { return a.Text == b.Text })
}

// named keeps the words of these names.
func named(words []lang.Word, names ...string) []lang.Word {
	return slices.DeleteFunc(words, func(w lang.Word) bool { return !slices.Contains(names, w.Name) })
}

// comparison is a column and an operator that a value of it must follow.
var comparison = regexp.MustCompile(`(?i)([a-z_]+)\s*(?:!=|==?|<=?|>=?|\b(?:not\s+)?in\s*\((?:[^()]*,)?)\s*$`)

// comparedWith is the column that the text compares with what comes next; "" when it
// compares none whose values are words.
func comparedWith(head string) string {
	m := comparison.FindStringSubmatch(head)
	if m == nil || len(lang.Values(m[1])) == 0 {
		return ""
	}
	return strings.ToLower(m[1])
}

// valueWords are the values of a column; of dtypes those that the models have, if there
// are any.
func valueWords(ctx context.Context, column string, s *registry.Snapshot, o Options) (words []lang.Word) {
	all := lang.Values(column)
	if strings.HasSuffix(column, "dtype") {
		if present := dtypesOf(ctx, s, o); len(present) > 0 {
			all = present
		}
	}
	for _, v := range all {
		words = append(words, lang.Word{Name: v})
	}
	return words
}

// dtypesOf are those that the models' tensors have.
func dtypesOf(ctx context.Context, s *registry.Snapshot, o Options) (names []string) {
	for _, v := range modelsOf(s, o) {
		for b, err := range s.Blocks(ctx, v) {
			if err != nil {
				return names
			}
			codes := b.DTypes()
			for i := range codes.Len() {
				if name := tensor.DType(codes.At(i)).String(); !slices.Contains(names, name) {
					names = append(names, name)
				}
				if _, same := codes.Const(); same {
					break
				}
			}
		}
	}
	return names
}

// wordStart is where the last word of text begins: after the last separator that
// is not inside braces, as in {0,1}.
func wordStart(text, separators string) int {
	at, depth := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '{':
			depth++
		case c == '}':
			depth = max(0, depth-1)
		case c == ' ':
			depth, at = 0, i+1
		case depth == 0 && strings.IndexByte(separators, c) >= 0:
			at = i + 1
		}
	}
	return at
}

// wantsValue reports that an expression goes on with a column, a function or a
// value, rather than with what follows one.
func wantsValue(head, last string) bool {
	head = strings.TrimRight(head, " \t\n")
	if head == "" || strings.IndexByte(",(<>=!+-*/%~[", head[len(head)-1]) >= 0 && !strings.HasSuffix(head, " *") {
		return true
	}
	_, clause := lang.Clauses[last]
	return clause || slices.Contains([]string{"by", "and", "or", "not"}, last)
}

// lastClause is the clause that the text is in, "" for the patterns, and the last
// whole word. In an expression in is an operator before a list or a range.
func lastClause(fields []string) (clause, last string) {
	for i, f := range fields {
		last = strings.ToLower(f)
		if _, known := lang.Clauses[last]; !known || i == 0 {
			continue
		}
		if last == "in" && lang.Clauses[clause] && i+1 < len(fields) && strings.ContainsAny(fields[i+1][:1], "([-0123456789") {
			continue
		}
		clause = last
	}
	return clause, last
}

// clauseWords are the words that begin a clause.
func clauseWords() (words []lang.Word) {
	for _, w := range lang.ClauseWords() {
		w.Name, _, _ = strings.Cut(w.Name, " ")
		words = append(words, w)
	}
	return words
}

// keywordsOf are the words that go on with an expression of the clause.
func keywordsOf(clause string) []lang.Word {
	keywords := slices.Clone(lang.KeywordWords)
	if clause == "order" {
		return named(keywords, "asc", "desc")
	}
	return named(keywords, "and", "or", "not", "in")
}

// expressionWords are the columns that the verb knows and all functions.
func expressionWords(verb string) (words []lang.Word) {
	words = lang.ColumnWords(verb != lang.Find)
	for _, f := range lang.FunctionWords() {
		f.Name += "("
		words = append(words, f)
	}
	return append(words, named(slices.Clone(lang.KeywordWords), "not")...)
}

// modelWords are the models, or behind NAME@ a model's revisions.
func modelWords(s *registry.Snapshot, begun string) (words []lang.Word) {
	if s == nil {
		return nil
	}
	for _, ref := range Refs(s, begun) {
		words = append(words, lang.Word{Name: ref.Text, About: ref.About})
	}
	return words
}

// Refs lists the models that a shell may be offered, or behind NAME@ the revisions of one,
// the newest first.
func Refs(s *registry.Snapshot, begun string) (list []Candidate) {
	models, _ := s.Models() // completion has nowhere to report an error
	name, _, revisions := strings.Cut(begun, "@")
	if revisions {
		models, _ = s.Revisions(name)
		slices.Reverse(models)
	}
	for _, v := range models {
		if registry.CheckName(v.Model) != nil { // that of an older one may hold what a shell runs
			continue
		}
		c := Candidate{v.Model, tensor.Count(v.Tensors, "tensor")}
		if revisions {
			c.Text = v.Ref()
		}
		if strings.Contains(begun, "/") { // as the hub has it
			c.Text = registry.HubName(c.Text)
		}
		if v.Layout != "" {
			c.About += ", layout " + v.Layout
		}
		if strings.HasPrefix(c.Text, begun) {
			list = append(list, c)
		}
	}
	return list
}

// modelsOf are the models whose paths are completed: the one asked, else all.
func modelsOf(s *registry.Snapshot, o Options) []*registry.Revision {
	if s == nil {
		return nil
	}
	if o.Model != "" {
		if models, err := s.Match(o.Model); err == nil {
			return models
		}
	}
	models, _ := s.Models()
	return models
}

// pathWords completes the last segment of a pattern from the templates of the models,
// at any segment boundary; for gaps also from those of a single model's other layout. The
// segments before it may be globs or numbers.
func pathWords(ctx context.Context, begun string, s *registry.Snapshot, verb string, o Options) (words []lang.Word) {
	dot, depth := lastSegment(begun)
	head, last := begun[:dot], begun[dot:]
	anchor := ""
	if head == "" {
		anchor, last = last[:len(last)-len(strings.TrimPrefix(last, "^"))], strings.TrimPrefix(last, "^")
	}
	anchored := strings.HasPrefix(begun, "^")
	above := func(string) bool { return true }
	if head != "" {
		pattern, err := tensor.ParsePattern("^" + strings.TrimPrefix(head[:dot-1], "^"))
		if err != nil {
			return nil
		}
		above = func(template string) bool { return !pattern.MatchTemplate(template).None() }
	}
	var order []string
	counts := map[string]int{}
	add := func(template string, n int) {
		segments := strings.Split(template, ".")
		here := map[string]bool{} // a template counts once where a segment repeats
		for i := 0; i+depth < len(segments) && (i == 0 || !anchored); i++ {
			w := head + anchor + segments[i+depth]
			if here[w] || !strings.HasPrefix(segments[i+depth], last) || !typeable(segments[i+depth]) || !above(strings.Join(segments[i:i+depth], ".")) {
				continue
			}
			if _, known := counts[w]; !known {
				if len(order) == maxCompletions {
					continue
				}
				order = append(order, w)
			}
			here[w] = true
			counts[w] += n
		}
	}
	models := modelsOf(s, o)
	for _, v := range models {
		for b, err := range s.Blocks(ctx, v) {
			if err != nil {
				break
			}
			add(b.Template(), b.Len())
		}
	}
	if verb != lang.Find && len(models) == 1 {
		for _, template := range gaps.Templates(ctx, models[0], o.Arch) {
			add(template, 0)
		}
	}
	for _, w := range order {
		about := "expected"
		if n := counts[w]; n > 0 {
			about = tensor.Count(n, "tensor")
		}
		if len(models) > 1 {
			about += ", all models"
		}
		words = append(words, lang.Word{Name: w, About: about})
	}
	return words
}

// typeable reports a segment that can be typed in a query as it is; others need
// quotes, or would reach a terminal as control characters.
func typeable(segment string) bool {
	return fold.PlainWord(segment) || tensor.Placeholders(segment) != nil
}

// lastSegment is where the last segment of a pattern begins, and how many there
// are before it.
func lastSegment(pattern string) (at, before int) {
	depth := 0
	for i := range len(pattern) {
		switch pattern[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '.':
			if depth <= 0 {
				at, before = i+1, before+1
			}
		}
	}
	return at, before
}

// Typeable reports a path that can be typed as it is, in a query and in a shell.
func Typeable(path string) bool {
	return !slices.ContainsFunc(strings.Split(path, "."), func(s string) bool { return !fold.PlainWord(s) })
}
