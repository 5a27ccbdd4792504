package query

import (
	"context"
	"maps"
	"slices"
	"strings"

	"wreg/query/fold"
	"wreg/query/lang"
	"wreg/query/rows"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// maxCompletions bounds what Complete returns.
const maxCompletions = 200

// Complete lists the texts that a query begun as text can go on as: verbs,
// clauses, columns, functions, models and segments of paths. Each begins with
// text. Without a snapshot, models and paths are left out.
func Complete(ctx context.Context, text string, s *registry.Snapshot) []string {
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
	var words []string
	switch {
	case len(fields) == 0:
		words = lang.VerbNames()
	case clause == "group" && last == "group" || clause == "order" && last == "order":
		words = []string{"by"}
	case clause == "in" && (last == "in" || last == ","):
		words = modelNames(s)
	case clause == "against" && last == "against":
		words = append([]string{lang.AgainstSpec, lang.AgainstLayers}, modelNames(s)...)
	case clause == "as" && last == "as":
		words = []string{arch.HF, arch.MLX}
	case clause == "" && (len(fields) == 1 || last == ","):
		words = append(pathWords(ctx, begun, s), "where", "in")
	case lang.Clauses[clause] && clause != "limit" && wantsValue(head, last):
		words = expressionWords(fields[0])
	case lang.Clauses[clause] && clause != "limit":
		words = append(clauseWords(), "and", "or", "not", "in", "asc", "desc")
	default:
		words = clauseWords()
	}
	var list []string
	for _, w := range words {
		if strings.HasPrefix(w, begun) && len(list) < maxCompletions {
			list = append(list, head+w)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
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
// whole word.
func lastClause(fields []string) (clause, last string) {
	for i, f := range fields {
		if _, known := lang.Clauses[strings.ToLower(f)]; known && i > 0 {
			clause = strings.ToLower(f)
		}
		last = strings.ToLower(f)
	}
	return clause, last
}

func clauseWords() []string { return slices.Collect(maps.Keys(lang.Clauses)) }

// expressionWords are the columns that the verb knows and all functions.
func expressionWords(verb string) (words []string) {
	words = rows.ColumnNames(verb != lang.Find)
	for _, f := range lang.FunctionNames() {
		words = append(words, f+"(")
	}
	return append(words, "not")
}

func modelNames(s *registry.Snapshot) []string {
	if s == nil {
		return nil
	}
	names, _ := s.Names() // completion has nowhere to report an error
	return names
}

// pathWords completes the last segment of a pattern from the templates of all
// models, at any segment boundary. The segments before it may be globs or numbers.
func pathWords(ctx context.Context, begun string, s *registry.Snapshot) (words []string) {
	if s == nil {
		return nil
	}
	models, err := s.Models()
	if err != nil {
		return nil
	}
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
	seen := map[string]bool{}
	for _, v := range models {
		for b, err := range s.Blocks(ctx, v) {
			if err != nil || len(words) >= maxCompletions {
				return words
			}
			segments := strings.Split(b.Template(), ".")
			for i := 0; i+depth < len(segments) && (i == 0 || !anchored); i++ {
				w := head + anchor + segments[i+depth]
				if !seen[w] && strings.HasPrefix(segments[i+depth], last) && typeable(segments[i+depth]) && above(strings.Join(segments[i:i+depth], ".")) {
					seen[w] = true
					words = append(words, w)
				}
			}
		}
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
