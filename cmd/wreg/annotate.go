package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// finding is a row as the machines of continuous integration see it. Rows of a
// report with a column result are findings unless they pass.
type finding struct {
	rule, file, name, message string
	passed, broken            bool // broken: a check that could not run
}

// findings reads rows by the names of their columns; what is none of rule, file
// and path becomes the message.
func (r *report) findings() []finding {
	var out []finding
	for _, row := range r.rows {
		f := finding{rule: r.ruleName()}
		var words []string
		for i, c := range r.columns {
			text := cell(row[i])
			if s, ok := row[i].(tensor.Hash); ok && s.IsZero() || text == "" {
				continue
			}
			switch c {
			case "status", "rule":
				f.rule = text
			case "file":
				f.file = text
			case "path", "tensor", "check":
				f.name = text
			case "result":
				f.passed, f.broken = text == "pass", text == "error"
			case "reason", "message":
				words = slices.Insert(words, 0, text)
			default:
				words = append(words, c+" "+text)
			}
		}
		f.message = strings.Join(words, "; ")
		if f.name != "" {
			f.message = strings.TrimSuffix(f.name+": "+f.message, ": ")
		}
		out = append(out, f)
	}
	return out
}

// ruleName is what rows without a status are filed under.
func (r *report) ruleName() string {
	if len(r.head) > 0 && r.head[0].name == "query" {
		return "query"
	}
	return "wreg"
}

// title is the first entry of the head: the query, or what was checked.
func (r *report) title() string {
	if len(r.head) == 0 {
		return "wreg"
	}
	return cell(r.head[0].value)
}

// printJUnit writes one failed test case a row, or one that passed.
func printJUnit(w io.Writer, rep *report) error {
	type failure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure"`
		Error   *failure `xml:"error"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	s := testsuite{Name: rep.title()}
	for _, f := range rep.findings() {
		name := f.name
		if name == "" {
			name = f.message
		}
		c := testcase{Class: s.Name, Name: name}
		switch {
		case f.broken:
			s.Errors++
			c.Error = &failure{f.rule, f.message}
		case !f.passed:
			s.Failures++
			c.Failure = &failure{f.rule, f.message}
		}
		s.Cases = append(s.Cases, c)
	}
	if len(s.Cases) == 0 {
		s.Cases = []testcase{{Class: "wreg", Name: s.Name}}
	}
	s.Tests = len(s.Cases)
	data, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, data)
	return err
}

// printSARIF writes SARIF 2.1.0: one run, one result a row.
func printSARIF(w io.Writer, rep *report) error {
	rules, seen := []any{}, map[string]bool{}
	results := []any{}
	for _, f := range rep.findings() {
		if f.passed {
			continue
		}
		if !seen[f.rule] {
			seen[f.rule] = true
			rules = append(rules, object{{"id", f.rule}})
		}
		where := object{}
		if f.file != "" {
			where = append(where, field{"physicalLocation", object{{"artifactLocation", object{{"uri", sarifURI(f.file)}}}}})
		}
		if f.name != "" {
			where = append(where, field{"logicalLocations", []any{object{{"fullyQualifiedName", f.name}}}})
		}
		result := object{{"ruleId", f.rule}, {"level", "error"}, {"message", object{{"text", f.message}}}}
		if len(where) > 0 {
			result = append(result, field{"locations", []any{where}})
		}
		results = append(results, result)
	}
	return writeJSON(w, object{
		{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
		{"version", "2.1.0"},
		{"runs", []any{object{
			{"tool", object{{"driver", object{{"name", "wreg"}, {"version", version}, {"rules", rules}}}}},
			{"results", results},
		}}},
	}, true)
}

// sarifURI percent-encodes what a relative URI reference may not hold.
func sarifURI(file string) string {
	var b strings.Builder
	for i := range len(file) {
		c := file[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// printGitHub writes workflow commands, which show up on a pull request.
func printGitHub(w io.Writer, rep *report) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range rep.findings() {
		if f.passed {
			continue
		}
		where := "title=" + property.Replace(f.rule)
		if f.file != "" {
			where = "file=" + property.Replace(f.file) + "," + where
		}
		if _, err := fmt.Fprintf(w, "::error %s::%s\n", where, data.Replace(f.message)); err != nil {
			return err
		}
	}
	return nil
}
