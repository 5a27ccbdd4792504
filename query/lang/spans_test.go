package lang

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// marked is a query with its parts in brackets: K keyword, L literal, N name, W wrong.
func marked(text string) string {
	var b strings.Builder
	at := 0
	for _, s := range Spans(text) {
		b.WriteString(text[at:s.From] + "[" + string(" KLNW"[s.Part]) + ":" + text[s.From:s.To] + "]")
		at = s.To
	}
	return b.String() + text[at:]
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"find *.bias in hy":             "[K:find] *.bias [K:in] hy",
		"fin":                           "fin",
		"fnd * ":                        "[W:fnd] * ",
		"FIND * WHERE NOT layer < 4":    "[K:FIND] * [K:WHERE] [K:NOT] [N:layer] < [L:4]",
		"find in.proj":                  "[K:find] in.proj",
		"find * where dtype = 'bf16'":   "[K:find] * [K:where] [N:dtype] = [L:'bf16']",
		"find * where lay":              "[K:find] * [K:where] lay",
		"find * where lay < 4":          "[K:find] * [K:where] [W:lay] < [L:4]",
		"find * where path ~ 'é":        "[K:find] * [K:where] [N:path] ~ [W:'é]",
		"find * order by count() desc":  "[K:find] * [K:order] [K:by] [N:count]() [K:desc]",
		"find é.* were layer < 4":       "[K:find] é.* [W:were] layer < 4",
		"find * where path ~ /a b/ and": "[K:find] * [K:where] [N:path] ~ [L:/a b/] [K:and]",
	} {
		if got := marked(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Whatever is typed, parts are in order and lie within the text.
func TestSpansLieInTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("find where layr<*'/é \"~{}()[]#,\n0.x;"))).Draw(t, "text")
		at := 0
		for _, s := range Spans(text) {
			if s.From < at || s.To <= s.From || s.To > len(text) {
				t.Fatalf("%q: %+v behind %d", text, s, at)
			}
			at = s.To
		}
	})
}
