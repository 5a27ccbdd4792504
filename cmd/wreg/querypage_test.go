package main

import (
	"os"
	"strings"
	"testing"
)

const queryPage = "../../docs/query.md"

// The page on queries has what the tables hold.
func TestQueryPage(t *testing.T) {
	data, err := os.ReadFile(queryPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), "<!-- reference -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- /reference -->")
	if !ok || !ok2 {
		t.Fatal("docs/query.md: no section reference")
	}
	var b strings.Builder
	for _, name := range []string{"query", "columns", "functions"} {
		topic, _ := topicNamed(name)
		if name != "query" {
			b.WriteString("\n## " + strings.ToUpper(name[:1]) + name[1:] + "\n\n")
			if topic.intro != "" {
				b.WriteString(topic.intro + "\n\n")
			}
		}
		for i, s := range topic.sections() {
			if i > 0 {
				b.WriteByte('\n')
			}
			if s.title != "" {
				b.WriteString(map[bool]string{true: "## ", false: "### "}[name == "query"] + s.title + "\n\n")
			}
			if s.about != "" {
				b.WriteString(s.about + "\n\n")
			}
			b.WriteString("| " + strings.Join(s.heads, " | ") + " |\n" + strings.Repeat("|---", len(s.heads)) + "|\n")
			for _, r := range s.rows {
				for k, c := range r {
					if written := k == 0 && !s.stacked || k == len(r)-1 && s.stacked; written {
						c = "`" + c + "`"
					}
					b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
				}
				b.WriteString("|\n")
			}
		}
		if topic.more != "" && name == "functions" {
			b.WriteString("\n" + topic.more + "\n")
		}
	}
	now := head + "<!-- reference -->\n" + b.String() + "<!-- /reference -->" + tail
	if now == string(data) {
		return
	}
	if !*update {
		t.Fatal("docs/query.md is not current; run go test ./cmd/wreg -run QueryPage -update")
	}
	if err := os.WriteFile(queryPage, []byte(now), 0o666); err != nil {
		t.Fatal(err)
	}
}
