package lang

import (
	"fmt"
	"strings"
	"testing"
)

// Each example of what to write instead is a query, and no word stands for two things.
func TestReflexesAreAnsweredByQueries(t *testing.T) {
	for i, table := range [][]reflex{verbReflexes, columnReflexes, functionReflexes, reflexes} {
		seen := map[string]bool{}
		for _, r := range table {
			if _, err := Parse(r.example); err != nil || r.say == "" {
				t.Errorf("%q: %v", r.example, err)
			}
			for _, w := range r.words {
				if seen[w] || w != strings.ToLower(w) {
					t.Errorf("table %d: %s", i, w)
				}
				seen[w] = true
			}
		}
	}
}

// What people write who know SQL is no query, and the error says what is.
func TestReflexes(t *testing.T) {
	for text, want := range map[string]string{
		"find * select path as p":                         "1:20: columns keep their names: leave out as p",
		"find * select sum(bytes) as mib, path":           "1:26: columns keep their names: leave out as mib",
		`gaps in a select path AS "the path"`:             "1:23: columns keep their names: leave out as the",
		"find * from hy":                                  "1:8: models follow in: find * in NAME",
		"select path from hy where layer = 1":             "1:1: a query begins with what is asked, and select follows: find * in NAME select path, bytes",
		"  SELECT *":                                      "1:1: a query begins with",
		"find * where path like '%q_proj%'":               "1:19: text is matched by ~ with a pattern: find * where path ~ q_proj.*",
		"find * where path NOT LIKE x":                    "1:23: text is matched by ~",
		"find * where layer between 1 and 5":              "1:20: a range is in, both ends included: find * where layer in 1..5",
		"find * where layer not between 1 and 5":          "1:24: a range is in",
		"find * where absmax is null":                     "1:21: no value is = null",
		"find * where absmax is not null":                 "1:21: no value is = null, some value != null: find * where absmax != null",
		"find * where layer <> 1":                         "1:21: not equal is !=",
		"find * where layer = 1 && rank = 2":              "1:24: both is and",
		"find * where layer = 1 || rank = 2":              "1:24: either is or",
		"find * where !present(absmax)":                   "1:14: the opposite is not",
		"find * where path =~ x":                          "1:20: text is matched by ~ with a pattern or /a regular expression/",
		"find * select count(*)":                          "1:21: count() counts rows: find * select count()",
		"find * select distinct dtype":                    "1:24: distinct values are groups: find * group by dtype",
		"find * limit 10 offset 5":                        "1:17: no rows are passed over",
		"find * order by bytes descending":                "1:23: the greatest first is desc",
		"find * sort by bytes":                            "1:8: rows are sorted by order by",
		"find * union find *":                             "1:8: one query is asked",
		"gaps in a vs b":                                  "1:11: what is compared with follows against",
		"count *":                                         "1:1: find counts by select: find * select count()",
		"find * where mean(absmax) > 1":                   `1:14: unknown function "mean": the mean is avg()`,
		"find * where coalesce(nans, 0) > 1":              `1:14: unknown function "coalesce": a value in place of none is ??`,
		"find * where isnull(absmax)":                     `1:14: unknown function "isnull": not present()`,
		"find * where size > 1MiB":                        `1:14: unknown column "size": the size is bytes`,
		"find * where name = x":                           `1:14: unknown column "name": the name is path`,
		"find * where params > 1 or layr = 2":             `1:14: unknown column "params": the number of elements is numel`,
		"find * where layr > 1 and path like x":           "1:32: text is matched by ~",
		"find *\nwhere path like x":                       "2:12: text is matched by ~",
		"find * where é like x":                           "1:16: text is matched by ~",
		"missing * as foo":                                `1:14: unknown layout "foo"`,
		"gaps select path as mlx2 in a":                   "1:18: columns keep their names",
		"find * where layer = 1 wit rank = 2":             `1:24: unexpected "wit"`,
		fmt.Sprintf("find * where %s", "path ~ x from y"): "1:23: models follow in",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"find * ;", "find *.bias in hy;; ", "gaps select path as mlx", "find from.x, like.*", "find 'x;'"} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
