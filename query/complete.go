package query

import (
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/arch"
)

// maxCompletions bounds what Complete returns.
const maxCompletions = 200

// Complete lists the texts that a query begun as text can go on as: verbs,
// clauses, columns, functions, models and segments of paths. Each begins with
// text. Without a snapshot, models and paths are left out.
func Complete(text string, s *registry.Snapshot) []string {
	at := strings.LastIndexAny(text, " ,(\t\n") + 1
	head, begun := text[:at], text[at:]
	var words []string
	fields := strings.Fields(strings.ReplaceAll(head, ",", " , "))
	clause, last := lastClause(fields)
	switch {
	case len(fields) == 0:
		words = verbNames()
	case clause == "group" && last == "group" || clause == "order" && last == "order":
		words = []string{"by"}
	case clause == "in" && (last == "in" || last == ","):
		words = modelNames(s)
	case clause == "against" && last == "against":
		words = append([]string{againstSpec, againstLayers}, modelNames(s)...)
	case clause == "as" && last == "as":
		words = []string{arch.HF, arch.MLX}
	case clause == "" && (len(fields) == 1 || last == ","):
		words = append(pathWords(begun, s), "where", "in")
	case clauses[clause] && clause != "limit":
		words = append(expressionWords(fields[0]), clauseWords()...)
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

// lastClause is the clause that the text is in, "" for the patterns, and the last
// whole word.
func lastClause(fields []string) (clause, last string) {
	for i, f := range fields {
		if _, known := clauses[strings.ToLower(f)]; known && i > 0 {
			clause = strings.ToLower(f)
		}
		last = strings.ToLower(f)
	}
	return clause, last
}

func clauseWords() []string {
	var words []string
	for name := range clauses {
		words = append(words, name)
	}
	return words
}

// expressionWords are the columns that the verb knows and all functions.
func expressionWords(verb string) (words []string) {
	for _, c := range columns {
		if !c.gap || verb != Find {
			words = append(words, c.name)
		}
	}
	for _, f := range functions {
		words = append(words, f.name+"(")
	}
	for _, a := range aggregateNames {
		words = append(words, a+"(")
	}
	return append(words, "and", "or", "not", "in", "asc", "desc")
}

func modelNames(s *registry.Snapshot) (names []string) {
	if s == nil {
		return nil
	}
	models, err := s.Models()
	if err != nil {
		return nil // completion has nobody to tell
	}
	for _, v := range models {
		names = append(names, v.Model)
	}
	return names
}

// pathWords completes the last segment of a pattern from the templates of all
// models, at any segment boundary.
func pathWords(begun string, s *registry.Snapshot) (words []string) {
	if s == nil {
		return nil
	}
	models, err := s.Models()
	if err != nil {
		return nil
	}
	typed := strings.Count(begun, ".") + 1
	seen := map[string]bool{}
	for _, v := range models {
		for b, err := range s.Blocks(v) {
			if err != nil || len(words) >= maxCompletions {
				return words
			}
			segments := strings.Split(b.Template(), ".")
			for i := range segments {
				if i+typed > len(segments) {
					break
				}
				w := strings.Join(segments[i:i+typed], ".")
				if strings.HasPrefix(w, begun) && !seen[w] {
					seen[w] = true
					words = append(words, w)
				}
			}
		}
	}
	return words
}
