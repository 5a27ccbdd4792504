package query

import (
	"strings"
	"testing"
)

// Queries that would take a careless parser or matcher years, or its stack. Each
// ends, with an error where it asks for too much.
func TestHostileQueries(t *testing.T) {
	r := store(t, testModels())
	rep := strings.Repeat
	for _, c := range []struct {
		name, query, want string // want: part of the error; "" when it is answered
	}{
		{"a megabyte", "find " + rep("a", 1<<20), "the limit is 65536"},
		{"a megabyte of clauses", rep("find * where layer = 1 ", 1<<20/23), "the limit is 65536"},
		{"10,000 parentheses", "find * where " + rep("(", 10000) + "1 = 1" + rep(")", 10000), "brackets nest deeper than 100"},
		{"10,000 brackets", "find * where shape" + rep("[", 10000), "nest deeper"},
		{"10,000 not", "find * where " + rep("not ", 10000) + "true", "more than 4096 parts"},
		{"10,000 minus", "find * where layer = " + rep("-", 10000) + "1", ""},
		{"10,000 and", "find * where layer = 1" + rep(" and 1", 10000), "more than 16000"},
		{"3,000 or", "find * where layer = 1" + rep(" or layer = 1", 1000), ""},
		{"10,000 plus", "find * where layer = 1" + rep("+1", 7000), "more than 4096 parts"},
		{"2,000 plus", "find * where layer = 1" + rep("+1", 2000), ""},
		{"10,000 in list", "find * where layer in (1" + rep(",1", 7000) + ")", "more than 4096 parts"},
		{"stars", "find " + rep("*a", 500) + "b", ""},
		{"double stars", "find " + rep("**.", 300) + "b", ""},
		{"braces", "find " + rep("{a,b}", 200), ""},
		{"dotted braces", "find " + rep("{a.b,c.d}", 60), "multiply out"},
		{"nested braces", "find " + rep("{a,", 200) + rep("}", 200), "nest deeper"},
		{"a long pattern", "find " + rep("a.", 600) + "b", "the limit of 1024"},
		{"many patterns", "find a" + rep(",a", 100), "more than 64 patterns"},
		{"many clauses", "find *" + rep(" limit 1", 100), "more than 16 clauses"},
		{"star glob in where", "find * where path ~ " + rep("*a", 500) + "b", ""},
		{"regexp", "find * where path ~ /" + rep("(a*)*", 200) + "$/", ""},
		{"a huge regexp", "find * where path ~ /((a{1000}){1000}){1000}/", "regexp"},
		{"a huge number", "find * where layer = " + rep("9", 1000), "number"},
		{"a huge exponent", "find * where layer = 1e999999999", "number"},
		{"zero bytes", "find \x00 where \x00", "unexpected"},
		{"invalid UTF-8", "find \xff\xfe in \xff", "not in the registry"},
		{"line breaks", "find *\nwhere layer = 1\r\n\tand expert = 2 # the end", ""},
		{"columns", "find * select " + rep("path,", 5000) + "path", "selected twice"},
		{"order", "find * order by " + rep("path,", 2000) + "path", ""},
	} {
		_, err := answer(r, c.query)
		switch {
		case err == nil && c.want != "":
			t.Errorf("%s: answered, want an error with %q", c.name, c.want)
		case err != nil && c.want == "":
			t.Errorf("%s: %.300v", c.name, err)
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %.300v; want %q", c.name, err, c.want)
		case err != nil && len(err.Error()) > 2000:
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}
