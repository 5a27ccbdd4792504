package main

import (
	"cmp"
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
	tensor.Finding
	passed, broken bool // passed: or only told, as notes are; broken: a check that could not run
}

// findings reads rows by the names of their columns; what is none of rule, file
// and path becomes the message.
func (r *report) findings() []finding {
	var out []finding
	for _, row := range r.rows {
		f := finding{Finding: tensor.Finding{Rule: r.ruleName()}}
		var words []string
		for i, c := range r.columns {
			text := cell(row[i])
			if s, ok := row[i].(tensor.Hash); ok && s.IsZero() || text == "" {
				continue
			}
			switch c {
			case "status", "rule":
				f.Rule = text
			case "file":
				f.File = text
			case "path", "tensor", "check":
				f.Tensor = text
			case "result":
				f.passed, f.broken = text == "pass", text == "error"
			case "reason", "message":
				words = slices.Insert(words, 0, text)
			default:
				words = append(words, c+" "+text)
			}
		}
		f.passed = f.passed || f.Note()
		f.Message = strings.Join(words, "; ")
		if f.Tensor != "" {
			f.Message = strings.TrimSuffix(f.Tensor+": "+f.Message, ": ")
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
		c := testcase{Class: s.Name, Name: cmp.Or(f.Tensor, f.Message)}
		switch {
		case f.broken:
			s.Errors++
			c.Error = &failure{f.Rule, f.Message}
		case !f.passed:
			s.Failures++
			c.Failure = &failure{f.Rule, f.Message}
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
		if !seen[f.Rule] {
			seen[f.Rule] = true
			rules = append(rules, object{{"id", f.Rule}})
		}
		where := object{}
		if f.File != "" {
			where = append(where, field{"physicalLocation", object{{"artifactLocation", object{{"uri", sarifURI(f.File)}}}}})
		}
		if f.Tensor != "" {
			where = append(where, field{"logicalLocations", []any{object{{"fullyQualifiedName", f.Tensor}}}})
		}
		result := object{{"ruleId", f.Rule}, {"level", "error"}, {"message", object{{"text", f.Message}}}}
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
		where := "title=" + property.Replace(f.Rule)
		if f.File != "" {
			where = "file=" + property.Replace(f.File) + "," + where
		}
		if _, err := fmt.Fprintf(w, "::error %s::%s\n", where, data.Replace(f.Message)); err != nil {
			return err
		}
	}
	return nil
}
