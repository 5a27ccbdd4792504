package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/query"
	"wreg/registry"
)

// command is one of the shell itself.
type command struct {
	name, usage, about string
	run                func(s *Shell, ctx context.Context, arg string) error
	values             func(s *Shell, begun string) []query.Candidate
}

// commands is the one table of them: what .help prints, completion offers and a line does.
var commands []command

func init() { // its rows speak of itself
	commands = []command{
		{"use", ".use [MODEL]", "the model that queries are about; without one, none", (*Shell).use, modelValues},
		{"models", ".models", "the models of the registry", func(s *Shell, ctx context.Context, _ string) error {
			return s.Command(ctx, []string{"ls"}, s.Settings)
		}, nil},
		{"format", ".format [NAME]", "how answers are printed; without a name, as a table again", (*Shell).format, formatValues},
		{"expand", ".expand [on|off]", "list every row in place of folding them", toggle("rows are listed one by one", "rows fold", func(s *Shell) *bool { return &s.Expand }), onOff},
		{"timer", ".timer [on|off]", "say how long an answer took", toggle("times are said", "times are not said", func(s *Shell) *bool { return &s.Timer }), onOff},
		{"export", ".export [FILE]", "write the next answer to a new FILE; without one, show it", (*Shell).exportTo, nil},
		{"help", ".help [PAGE]", "this, or a page of help: query, columns, functions …", (*Shell).help, nil},
		{"quit", ".quit", "leave; so does ^D", func(*Shell, context.Context, string) error { return errQuit }, nil},
	}
}

// command does what a line says that begins with a dot.
func (s *Shell) command(ctx context.Context, line string) error {
	name, arg, _ := strings.Cut(line[1:], " ")
	for _, c := range commands {
		if c.name == name {
			return c.run(s, ctx, strings.TrimSpace(arg))
		}
	}
	return fmt.Errorf("the shell has no command .%s; .help lists them", name)
}

func (s *Shell) use(_ context.Context, name string) error {
	if name == "" {
		s.Model = ""
		return nil
	}
	return s.View(func(snap *registry.Snapshot) error {
		v, err := snap.Find(name)
		if err == nil {
			s.Model = name
			s.Say("%s: %d tensors", v.Ref(), v.Tensors)
		}
		return err
	})
}

func (s *Shell) format(_ context.Context, name string) error {
	if name == "" {
		name = "auto"
	}
	names := []string{"auto"}
	for _, f := range s.Formats {
		names = append(names, f.Name)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("no format %q; there are %s", name, strings.Join(names, ", "))
	}
	s.Format = name
	return nil
}

// toggle is a command that turns something on or off, or over.
func toggle(on, off string, what func(*Shell) *bool) func(*Shell, context.Context, string) error {
	return func(s *Shell, _ context.Context, arg string) error {
		switch v := what(s); arg {
		case "":
			*v = !*v
		case "on", "off":
			*v = arg == "on"
		default:
			return fmt.Errorf("%q: want on or off", arg)
		}
		if *what(s) {
			s.Say("%s", on)
		} else {
			s.Say("%s", off)
		}
		return nil
	}
}

func (s *Shell) exportTo(_ context.Context, file string) error {
	if file == "" && s.export == "" {
		return errors.New("where to? .export FILE; its name says the format, as in rows.csv")
	}
	if s.export = ""; file == "" {
		s.Say("answers are shown")
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) // what cannot be made is said now
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(file))
	}
	if err != nil {
		return exportError(file, err)
	}
	s.export = file
	s.Say("the next answer goes to %s", file)
	return nil
}

func exportError(file string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is not overwritten; .export another FILE", file)
	}
	return err
}

// formatOf is the format that a file's name says, else tsv.
func formatOf(file string, formats []query.Word) string {
	ext := strings.TrimPrefix(filepath.Ext(file), ".")
	if ext == "jsonl" {
		return "ndjson"
	}
	if slices.ContainsFunc(formats, func(f query.Word) bool { return f.Name == ext }) {
		return ext
	}
	return "tsv"
}

func (s *Shell) help(ctx context.Context, page string) error {
	if page != "" {
		return s.Command(ctx, []string{"help", page}, s.Settings)
	}
	fmt.Fprintf(s.Out, "Type a query, as find *.bias where layer < 4; .help query tells the language.\n\n")
	width := 0
	for _, c := range commands {
		width = max(width, len(c.usage))
	}
	for _, c := range commands {
		fmt.Fprintf(s.Out, "  %-*s  %s\n", width, c.usage, c.about)
	}
	fmt.Fprintf(s.Out, "\nCommands of wreg that only read:\n\n")
	for _, c := range s.Commands {
		fmt.Fprintf(s.Out, "  %-*s  %s\n", width, c.Name, c.About)
	}
	return nil
}

func modelValues(s *Shell, begun string) (list []query.Candidate) {
	_ = s.Glance(func(snap *registry.Snapshot) error { // completion has nowhere to report an error
		list = query.Refs(snap, begun)
		return nil
	})
	return list
}

func formatValues(s *Shell, _ string) (list []query.Candidate) {
	for _, f := range s.Formats {
		list = append(list, query.Candidate{Text: f.Name, About: f.About})
	}
	return list
}

func onOff(*Shell, string) []query.Candidate {
	return []query.Candidate{{Text: "on"}, {Text: "off"}}
}

// complete lists what may stand in place of the last word of text; each begins with text.
func (s *Shell) complete(ctx context.Context, text string) (list []query.Candidate) {
	first, rest, more := strings.Cut(text, " ")
	if !strings.HasPrefix(text, ".") {
		if !more {
			for _, c := range s.Commands {
				list = append(list, query.Candidate{Text: c.Name, About: c.About})
			}
		}
		o := query.Options{Model: s.Model}
		err := s.Glance(func(snap *registry.Snapshot) error {
			if slices.ContainsFunc(s.Commands, func(c query.Word) bool { return more && c.Name == first }) {
				at := strings.LastIndexByte(text, ' ') + 1
				for _, ref := range query.Refs(snap, text[at:]) {
					list = append(list, query.Candidate{Text: text[:at] + ref.Text, About: ref.About})
				}
				return nil
			}
			list = append(list, query.Complete(ctx, text, snap, o)...)
			return nil
		})
		if err != nil {
			list = append(list, query.Complete(ctx, text, nil, o)...)
		}
		return begins(list, text)
	}
	for _, c := range commands {
		if !more {
			list = append(list, query.Candidate{Text: "." + c.name, About: c.about})
		} else if first == "."+c.name && c.values != nil {
			for _, v := range c.values(s, rest) {
				list = append(list, query.Candidate{Text: first + " " + v.Text, About: v.About})
			}
		}
	}
	return begins(list, text)
}

func begins(list []query.Candidate, text string) []query.Candidate {
	return slices.DeleteFunc(list, func(c query.Candidate) bool { return !strings.HasPrefix(c.Text, text) })
}
