package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// finding is a row as the machines of continuous integration see it. Rows of a
// report with a column result are findings unless they pass.
type finding struct {
	tensor.Finding
	at             place
	passed, broken bool // passed: or only told, as notes are; broken: a check that could not run
}

// finders are the verbs whose rows are findings, by the formats of continuous integration
// that show them. There, what another verb lists would be so many faults.
var finders = map[string][]string{
	"query": ciFormats, "diff": ciFormats, "test": ciFormats, "lint": ciFormats, "verify": ciFormats, "check": ciFormats,
	"accel check": {"junit", "github"}, // of no file
}

var ciFormats = []string{"junit", "sarif", "github"}

// finds refuses a format that would show what a verb lists as faults.
func finds(verb, format string) error {
	if !slices.Contains(ciFormats, format) || slices.Contains(finders[verb], format) {
		return nil
	}
	var verbs []string
	for _, v := range slices.Sorted(maps.Keys(finders)) {
		if slices.Contains(finders[v], format) {
			verbs = append(verbs, v)
		}
	}
	return fmt.Errorf("--format %s shows rows as faults, and those of wreg %s are none: it is for %s; want auto, %s", format, verb,
		strings.Join(verbs, ", "), strings.Join(formats[:slices.Index(formats, ciFormats[0])], ", "))
}

// findings reads rows by the names of their columns; what is none of rule, file
// and path becomes the message.
func (r *report) findings() []finding {
	var out []finding
	for i, row := range r.rows {
		f := finding{Finding: tensor.Finding{Rule: cmp.Or(r.rule, "wreg")}}
		if len(r.at) > 0 {
			f.at = r.at[min(i, len(r.at)-1)]
		}
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

// printGitHub writes workflow commands, which show up on a pull request.
func printGitHub(w io.Writer, rep *report) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	root := sourceRoot()
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range rep.findings() {
		if f.passed {
			continue
		}
		where := "title=" + property.Replace(f.Rule)
		if file, _ := f.file(root); file != "" {
			where = "file=" + property.Replace(escape(file)) + "," + where
		}
		if _, err := fmt.Fprintf(w, "::error %s::%s\n", where, data.Replace(f.Message)); err != nil {
			return err
		}
	}
	return nil
}
