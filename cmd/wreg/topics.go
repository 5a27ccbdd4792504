package main

import (
	"io"
	"slices"
	"strings"

	"wreg/query"
	"wreg/registry/tensor"
)

// topic is a page of help that is about no single verb. What it says is what the tables
// hold that the code itself uses.
type topic struct {
	name, short string
	intro       string
	sections    func() []topicSection
	more        string
}

// topicSection is a table with a line over it: what is written, what kind it is where that
// matters, and what it means.
type topicSection struct {
	title, about string
	heads        []string
	rows         [][]string
	stacked      bool // the last cell has a line of its own, which can be copied
}

// topics is the one table of them.
var topics = []topic{
	{"query", "the language of queries", `A query is a verb, patterns, and clauses in any order: find *.bias in hy where layer < 4. A pattern matches at
any segment boundary and reaches the path's end. Words may be in capitals; text with spaces or signs is quoted. In a shell, put the whole query in
single quotes.`, languageSections, "wreg help columns and wreg help functions have the rest; wreg query --help has the flags."},
	{"columns", "what a query can ask of a tensor", "Where a tensor has no value (a layer norm outside of the layers, statistics that were not recorded), comparisons are false; present(COLUMN) asks.",
		columnSections, "wreg query 'find * select * limit 1' --json shows what each holds."},
	{"functions", "functions and aggregates of queries", "", functionSections, "Aggregates give a value for each group, or without group by one for all rows."},
	{"formats", "how answers are printed", "--format NAME chooses, --json is short for --format json. Without it, a terminal gets a table and a pipe TSV.",
		formatSections, "stdout has the answer and nothing else; stderr has what is said about it."},
	{"environment", "variables that wreg reads", "A flag takes precedence over its variable.", environmentSections, ""},
}

func wordRows(words []query.Word) (rows [][]string) {
	for _, w := range words {
		rows = append(rows, []string{w.Usage, w.About})
	}
	return rows
}

func languageSections() []topicSection {
	l := query.Language()
	verbs := [][]string{}
	for _, w := range l.Verbs {
		verbs = append(verbs, []string{w.Name, w.About})
	}
	examples := [][]string{}
	for _, r := range query.Cookbook {
		examples = append(examples, []string{r.Question, r.Query})
	}
	return []topicSection{
		{title: "Verbs", about: "find lists tensors, the others list gaps.", heads: []string{"verb", "rows"}, rows: verbs},
		{title: "Patterns", heads: []string{"pattern", "matches"}, rows: wordRows(l.Patterns)},
		{title: "Clauses", heads: []string{"clause", "meaning"}, rows: wordRows(l.Clauses)},
		{title: "Operators", about: "The loosest come first; brackets group. Numbers may have units: 4k, 1GiB, 5e6.", heads: []string{"written", "meaning"}, rows: wordRows(l.Operators)},
		{title: "Cookbook", heads: []string{"question", "query"}, rows: examples, stacked: true},
	}
}

func columnRows(words []query.Word) (rows [][]string) {
	for _, w := range words {
		rows = append(rows, []string{w.Name, w.Usage, w.About})
	}
	return rows
}

func trustRows() (rows [][]string) {
	for _, l := range tensor.TrustAbout {
		rows = append(rows, l[:])
	}
	return rows
}

func columnSections() []topicSection {
	l := query.Language()
	heads := []string{"column", "kind", "meaning"}
	return []topicSection{
		{title: "Of tensors", heads: heads, rows: columnRows(l.Columns)},
		{title: "Of gaps", about: "Only missing, extra, changed and gaps have these.", heads: heads, rows: columnRows(l.GapColumns)},
		{title: "Trust", about: "The words of the column trust, the least first. What was never read is not known: a query that asks for it is refused, or says of how many tensors.",
			heads: []string{"trust", "what is known"}, rows: trustRows()},
	}
}

func functionSections() []topicSection {
	return []topicSection{{heads: []string{"function", "gives"}, rows: wordRows(query.Language().Functions)}}
}

func formatSections() []topicSection {
	s := topicSection{heads: []string{"format", "what it is"}}
	for _, f := range formatTable {
		s.rows = append(s.rows, []string{f.name, f.about})
	}
	return []topicSection{s}
}

func environmentSections() []topicSection {
	s := topicSection{heads: []string{"variable", "what it says"}}
	for _, v := range environment {
		s.rows = append(s.rows, []string{v.name, v.about})
	}
	return []topicSection{s}
}

// print writes the page in lines of at most width columns.
func (t topic) print(w io.Writer, width int) error {
	var b strings.Builder
	paragraph := func(text string) {
		if text != "" {
			b.WriteString(strings.Join(breakLine(strings.Join(strings.Fields(text), " "), width, 0), "\n") + "\n")
		}
	}
	paragraph(t.intro)
	for i, s := range t.sections() {
		if i > 0 || t.intro != "" {
			b.WriteByte('\n')
		}
		if s.title != "" {
			b.WriteString(s.title + ":\n")
		}
		paragraph(s.about)
		s.lines(&b, width)
	}
	if t.more != "" {
		b.WriteByte('\n')
		paragraph(t.more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const topicIndent = "  "

// lines writes a section's rows as aligned columns, the last broken between words.
func (s topicSection) lines(b *strings.Builder, width int) {
	last := len(s.heads) - 1
	widths := make([]int, last)
	for _, r := range s.rows {
		for i := range widths {
			widths[i] = max(widths[i], min(columnsOf(r[i]), width*2/5))
		}
	}
	for _, r := range s.rows {
		if s.stacked {
			for _, l := range breakLine(r[0], width-len(topicIndent), 0) {
				b.WriteString(topicIndent + l + "\n")
			}
			b.WriteString(topicIndent + topicIndent + r[last] + "\n")
			continue
		}
		line := topicIndent
		for i, n := range widths {
			line += r[i] + strings.Repeat(" ", gutter+max(0, n-columnsOf(r[i])))
		}
		margin := len(topicIndent)
		for _, n := range widths {
			margin += n + gutter
		}
		if columnsOf(line) > margin { // a long word has a line of its own
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", margin)
		}
		for k, text := range breakLine(r[last], max(1, width-margin), 0) {
			if k > 0 {
				line = strings.Repeat(" ", margin)
			}
			b.WriteString(strings.TrimRight(line+text, " ") + "\n")
		}
	}
}

// report is the page as rows, for programs.
func (t topic) report() *report {
	rep := &report{columns: []string{"section", "name", "kind", "about"}}
	for _, s := range t.sections() {
		for _, r := range s.rows {
			kind := any(nil)
			if len(r) > 2 {
				kind = r[1]
			}
			rep.rows = append(rep.rows, []any{s.title, r[0], kind, r[len(r)-1]})
		}
	}
	return rep
}

// showTopic prints a page of help.
func (a *app) showTopic(t topic) error {
	if a.json || a.format != "auto" {
		return a.print(t.report())
	}
	return a.paged(func(a *app) error { return t.print(a.out, helpWidth(a.out)) })
}

// topicList ends the root's help.
func topicList() string {
	s := topicSection{heads: []string{"topic", "about"}}
	for _, t := range topics {
		s.rows = append(s.rows, []string{"wreg help " + t.name, t.short})
	}
	var b strings.Builder
	s.lines(&b, 80)
	return "\nHelp topics:\n" + b.String()
}

// helpWidth is how wide help is printed: as the terminal, elsewhere as most are.
func helpWidth(w io.Writer) int {
	if width := terminalWidth(w); width > 0 {
		return min(width, 100)
	}
	return 80
}

func topicNamed(name string) (t topic, ok bool) {
	i := slices.IndexFunc(topics, func(t topic) bool { return t.name == name })
	if i < 0 {
		return t, false
	}
	return topics[i], true
}
