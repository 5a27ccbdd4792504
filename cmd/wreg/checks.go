package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"wreg/ingest/regular"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

// maxChecks bounds a file of checks, in bytes.
const maxChecks = 1 << 20

// savedCheck is one named query of a wreg.checks file and what its answer must be.
//
//	# experts and routers are all there
//	check moe-complete
//	  expect none
//	  missing mlp.**
type savedCheck struct {
	name   string
	line   int
	expect expectation
	text   string
	query  *query.Query
}

// expectation is what the number of rows must be.
type expectation struct {
	text string
	ok   func(rows int) bool
	some bool // rows are enough, whatever else there may be
}

// parseExpectation reads none, some or = N.
func parseExpectation(text string) (expectation, error) {
	switch text {
	case "none":
		return expectation{text: text, ok: func(n int) bool { return n == 0 }}, nil
	case "some":
		return expectation{text: text, ok: func(n int) bool { return n > 0 }, some: true}, nil
	}
	number, ok := strings.CutPrefix(text, "=")
	want, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil || want < 0 {
		return expectation{}, fmt.Errorf("expect %q: want none, some or = N", text)
	}
	return expectation{text: text, ok: func(n int) bool { return n == want }}, nil
}

// What comes of a check.
const (
	checkPass  = "pass"
	checkFail  = "fail"
	checkError = "error" // it could not be asked
)

// outcome is how a check went: message says what to do where it did not pass.
type outcome struct {
	result, message string
	answer          *query.Result
	err             error
}

// run asks a check's query; model stands for that of a query without an in clause.
func (c *savedCheck) run(ctx context.Context, s *registry.Snapshot, model string) outcome {
	res, err := c.query.Run(ctx, s, query.Options{Model: model})
	if err != nil {
		return outcome{result: checkError, message: err.Error(), err: err}
	}
	unknown := ""
	if res.Unknown > 0 {
		unknown = fmt.Sprintf(", and %s not compared", tensor.Count(res.Unknown, "tensor"))
	}
	if c.expect.ok(len(res.Rows)) && (c.expect.some || unknown == "") {
		return outcome{result: checkPass, answer: res}
	}
	ask := []string{"wreg", "query", c.text}
	if model != "" {
		ask = append(ask, "-m", model)
	}
	return outcome{result: checkFail, answer: res,
		message: fmt.Sprintf("expected %s, the answer has %s%s; %s", c.expect.text, tensor.Count(len(res.Rows), "row"), unknown, shellLine(ask))}
}

// readChecks reads the checks of a file.
func readChecks(file string) ([]*savedCheck, error) {
	text, err := regular.Read(file, maxChecks)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no file of checks: %w; wreg test --help shows what is in one", err)
	}
	if err != nil {
		return nil, err
	}
	return parseChecks(file, string(text))
}

// parseChecks reads a file of checks; every fault in it is reported.
func parseChecks(file, text string) ([]*savedCheck, error) {
	var checks []*savedCheck
	var errs []error
	names := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		fault := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, i+1, fmt.Errorf(format, args...)))
		}
		words := strings.TrimSpace(line)
		indented := words != "" && (line[0] == ' ' || line[0] == '\t')
		switch {
		case words == "" || words[0] == '#':
		case !indented:
			name, ok := strings.CutPrefix(words, "check ")
			if name = strings.TrimSpace(name); !ok || name == "" {
				fault("%q: want check NAME, then indented expect and query", words)
				continue
			}
			if first := names[name]; first > 0 {
				fault("check %q: the name is taken by line %d", name, first)
			}
			names[name] = i + 1
			checks = append(checks, &savedCheck{name: name, line: i + 1})
		case len(checks) == 0:
			fault("%q comes before the first check", words)
		case strings.HasPrefix(words, "expect "):
			e, err := parseExpectation(strings.TrimSpace(words[len("expect "):]))
			if err != nil {
				fault("%w", err)
			}
			checks[len(checks)-1].expect = e
		default:
			c := checks[len(checks)-1]
			c.text = strings.TrimSpace(c.text + " " + words)
		}
	}
	for _, c := range checks {
		var err error
		switch {
		case c.text == "":
			err = errors.New("no query")
		case c.expect.text == "":
			err = errors.New("no expect line: want expect none, some or = N")
		default:
			c.query, err = query.Parse(c.text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: check %q: %w", file, c.line, c.name, err))
		}
	}
	if len(checks) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: no check in it", file))
	}
	return checks, errors.Join(errs...)
}
