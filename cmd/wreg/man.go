package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wreg/registry/disk"
)

// manCommand is hidden: packages run it. A page says nothing of when it was made, so that
// the same source gives the same bytes.
func manCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "write the manual's pages to a folder",
		Example: `  wreg man ./man1`,
		Args:    cobra.ExactArgs(1),
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			pages := manPages(c.Root())
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return err
			}
			for _, p := range pages {
				if _, err := ours(filepath.Join(args[0], p.file), "page of the manual that wreg wrote", roffed); err != nil {
					return err
				}
			}
			for _, p := range pages {
				err := disk.Replace(filepath.Join(args[0], p.file), func(f *os.File) error {
					_, err := f.WriteString(p.text)
					return err
				})
				if err != nil {
					return err
				}
			}
			a.say("%s: %d pages", args[0], len(pages))
			return a.done(object{{"folder", args[0]}, {"pages", len(pages)}})
		},
	}
}

// roffed says that a file begins as the pages do.
func roffed(head []byte) bool { return strings.HasPrefix(string(head), ".TH WREG") }

// manPage is one page of section 1.
type manPage struct{ file, text string }

// manPages are a page for every command and for every topic.
func manPages(root *cobra.Command) (pages []manPage) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		pages = append(pages, manOf(c))
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for _, t := range topics {
		name := "wreg-help-" + t.name
		r := newRoff(name)
		r.section("NAME", name+` \- `+roffText(t.short))
		r.section("DESCRIPTION", "")
		if t.intro != "" {
			r.text(t.intro)
		}
		for _, s := range t.sections() {
			if s.title != "" {
				r.section(strings.ToUpper(s.title), "")
			}
			r.text(s.about)
			for _, row := range s.rows {
				term := row[0]
				if len(row) > 2 {
					term += " (" + row[1] + ")"
				}
				r.item(term, row[len(row)-1])
			}
		}
		if t.more != "" {
			r.section("SEE ALSO", "")
			r.text(t.more)
		}
		pages = append(pages, r.page())
	}
	return pages
}

func manOf(c *cobra.Command) manPage {
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	r := newRoff(name)
	r.section("NAME", name+` \- `+roffText(c.Short))
	r.section("SYNOPSIS", roffText(c.UseLine()))
	r.section("DESCRIPTION", "")
	about := c.Long
	if about == "" {
		about = c.Short
	}
	for paragraph := range strings.SplitSeq(about, "\n\n") {
		r.text(paragraph)
	}
	if subs := c.Commands(); len(subs) > 0 {
		r.section("COMMANDS", "")
		for _, sub := range subs {
			if !sub.Hidden {
				r.item(sub.Name(), sub.Short)
			}
		}
	}
	c.InitDefaultHelpFlag()
	r.flags("OPTIONS", c.NonInheritedFlags())
	r.flags("GLOBAL OPTIONS", c.InheritedFlags())
	if c.Example != "" {
		r.section("EXAMPLES", "")
		r.verbatim(c.Example)
	}
	if s := c.Annotations["statuses"]; s != "" {
		r.section("EXIT STATUS", "")
		r.text(s)
	}
	r.section("SEE ALSO", roffText("wreg(1), wreg-help-query(1), wreg-help-environment(1)"))
	return r.page()
}

// roff is a page of the manual that is being written.
type roff struct {
	name string
	strings.Builder
}

func newRoff(name string) *roff {
	r := &roff{name: name}
	fmt.Fprintf(r, ".TH %s 1 \"\" %q %q\n.nh\n", strings.ToUpper(roffText(name)), roffText(tool), "wreg manual")
	return r
}

func (r *roff) page() manPage { return manPage{r.name + ".1", r.String()} }

func (r *roff) section(title, line string) {
	fmt.Fprintf(r, ".SH %s\n", title)
	if line != "" {
		r.WriteString(line + "\n")
	}
}

func (r *roff) text(s string) {
	if s != "" {
		fmt.Fprintf(r, ".PP\n%s\n", roffText(strings.Join(strings.Fields(s), " ")))
	}
}

func (r *roff) item(term, about string) {
	fmt.Fprintf(r, ".TP\n.B %s\n%s\n", roffText(strings.ReplaceAll(term, `"`, `\(dq`)), roffText(about))
}

func (r *roff) verbatim(s string) {
	r.WriteString(".nf\n")
	for line := range strings.SplitSeq(s, "\n") {
		r.WriteString(roffText(line) + "\n")
	}
	r.WriteString(".fi\n")
}

func (r *roff) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	r.section(title, "")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if kind != "" {
			term += " " + kind
		}
		r.item(term, usage)
	})
}

// roffText is text that roff prints as it is.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
