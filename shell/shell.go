// Package shell reads queries line by line and has them answered: what wreg shell is.
//
// Most users need [Shell] and [Shell.Run]. On a terminal a line is edited, with
// completion, history and colours (edit.go, history.go); elsewhere lines are read as they
// come, so that a script can be piped in. A line is a command of the shell, which begins
// with a dot (commands.go), a command of wreg that only reads, or a query.
//
// Invariants:
//   - The registry is open only while a line is answered or completed, and only for
//     reading: who writes it is not kept waiting.
//   - A file is never overwritten.
//   - An interrupt ends the line that is being answered, not the shell.
//   - What is shown of the registry while completing was found safe to type by query.
package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

// Settings are what the commands of the shell set.
type Settings struct {
	Model  string // asked where a query names none
	Format string
	Expand bool
	Timer  bool
	export string // where the next answer goes
}

// Answer is what was answered.
type Answer struct {
	Rows  int
	Wider string // a query that finds something where this one found nothing
	Found int    // how many rows that has
}

// Shell is one conversation. Host's functions do the work.
type Shell struct {
	Settings
	In       io.Reader
	Out, Err io.Writer
	Edit     bool   // In and Out are a terminal that can be edited on
	Colours  bool   // may be used
	History  string // the file that keeps what was typed; "" keeps nothing
	Begin    string // said first on a terminal
	Formats  []query.Word
	Commands []query.Word // commands of wreg that can be typed as they are

	Ask     func(ctx context.Context, text string, s Settings, out io.Writer) (Answer, error)
	Command func(ctx context.Context, words []string, s Settings) error
	View    func(fn func(*registry.Snapshot) error) error
	Glance  func(fn func(*registry.Snapshot) error) error // View that does not wait: someone is typing
	Tell    func(err error)                               // says what went wrong
	Say     func(format string, args ...any)
	Keys    func() (restore func(), err error) // makes the terminal hand over keys as they are; nil: it is none
}

// errQuit ends the conversation.
var errQuit = errors.New("quit")

// maxLine bounds a line that is piped in.
const maxLine = 1 << 20

// Run reads lines until there are no more, or .quit. It is an error when a line that
// was piped in failed.
func (s *Shell) Run(ctx context.Context) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	ended, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	next, err := s.reader()
	if err != nil {
		return err
	}
	if s.Edit && s.Begin != "" {
		fmt.Fprintln(s.Out, s.Begin)
	}
	failed := 0
	for n := 1; ended.Err() == nil; n++ {
		line, err := s.await(ended, next, interrupts)
		if err == io.EOF {
			break
		}
		if err != nil && err != errLong {
			return err
		}
		if err == nil {
			err = s.line(ended, strings.TrimSpace(line), interrupts)
		}
		if errors.Is(err, errQuit) {
			break
		}
		if err != nil {
			failed++
			if !s.Edit {
				s.Say("line %d failed:", n)
			}
			s.Tell(err)
		}
		if !s.Edit && errors.Is(err, context.Canceled) {
			return err
		}
	}
	if err := ended.Err(); err != nil {
		return err
	}
	if failed > 0 && !s.Edit {
		return fmt.Errorf("%s failed", tensor.Count(failed, "line"))
	}
	return nil
}

// await is the next line. What ends the shell ends the waiting, too: a signal to end and,
// where no editor takes it for a key, an interrupt.
func (s *Shell) await(ended context.Context, next func() (string, error), interrupts <-chan os.Signal) (string, error) {
	type read struct {
		line string
		err  error
	}
	came := make(chan read, 1)
	go func() {
		line, err := next()
		came <- read{line, err}
	}()
	if s.Edit {
		interrupts = nil
	}
	select {
	case r := <-came:
		return r.line, r.err
	case <-ended.Done():
		return "", ended.Err()
	case <-interrupts:
		return "", fmt.Errorf("interrupted (%w)", context.Canceled)
	}
}

// reader gives what reads the next line.
func (s *Shell) reader() (func() (string, error), error) {
	if s.Edit {
		return s.editor()
	}
	return piped(s.In), nil
}

// errLong is about a line that is not answered; the next one is.
var errLong = fmt.Errorf("the line is longer than %d bytes", maxLine)

// piped gives what reads the next line of what is piped in, and keeps no more than maxLine of it.
func piped(in io.Reader) func() (string, error) {
	lines := bufio.NewReader(in)
	mark := "\ufeff" // what some editors begin a file with
	return func() (string, error) {
		var line []byte
		for long := false; ; {
			part, err := lines.ReadSlice('\n')
			if long = long || len(line)+len(part) > maxLine; !long {
				line = append(line, part...)
			}
			switch {
			case err == bufio.ErrBufferFull:
				continue
			case err == io.EOF && (long || len(line) > 0): // the last line, which nothing ends
			case err != nil:
				return "", err
			}
			if long {
				return "", errLong
			}
			text := strings.TrimPrefix(string(line), mark)
			mark = ""
			return text, nil
		}
	}
}

// line does what one line says, until an interrupt.
func (s *Shell) line(ctx context.Context, line string, interrupts <-chan os.Signal) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	for len(interrupts) > 0 { // one that came while nothing ran
		<-interrupts
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-interrupts:
			cancel()
		case <-done:
		}
	}()
	err := s.do(ctx, line)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted (%w)", context.Canceled)
	}
	return err
}

// spoken are lines that other shells taught.
var spoken = map[string]string{"?": ".help", "help": ".help", `\q`: ".quit", `\?`: ".help", "quit": ".quit", "exit": ".quit", ".exit": ".quit"}

func (s *Shell) do(ctx context.Context, line string) error {
	if known, ok := spoken[line]; ok {
		line = known
	}
	if line[0] == '.' {
		return s.command(ctx, line)
	}
	words := strings.Fields(line)
	for _, c := range s.Commands {
		if c.Name == words[0] {
			words, err := split(line)
			if err != nil {
				return err
			}
			return s.Command(ctx, words, s.Settings)
		}
	}
	return s.query(ctx, line)
}

// query answers one, to the file that .export named or to the terminal.
func (s *Shell) query(ctx context.Context, text string) error {
	began := time.Now()
	a, err := s.answer(ctx, text)
	if err != nil {
		return err
	}
	if s.Timer {
		s.Say("%.3f s", time.Since(began).Seconds())
	}
	if a.Wider == "" {
		return nil
	}
	if !s.Edit {
		s.Say("%s", found(a))
		return nil
	}
	if yes, err := s.confirm(found(a) + ". Run that? [Y/n] "); err != nil || !yes {
		return err
	}
	return s.query(ctx, a.Wider)
}

func found(a Answer) string {
	if a.Found == 1 {
		return "1 row matches: " + a.Wider
	}
	return fmt.Sprintf("%d rows match: %s", a.Found, a.Wider)
}

func (s *Shell) answer(ctx context.Context, text string) (a Answer, err error) {
	if s.export == "" {
		return s.Ask(ctx, text, s.Settings, s.Out)
	}
	set := s.Settings
	s.export = "" // a file that cannot be written is no reason to answer nothing from now on
	if set.Format == "auto" {
		set.Format = formatOf(set.export, s.Formats)
	}
	set.Expand = true
	f, err := os.OpenFile(set.export, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return a, exportError(set.export, err)
	}
	out := bufio.NewWriter(f)
	a, err = s.Ask(ctx, text, set, out)
	unwritten := errors.Join(out.Flush(), f.Close())
	if unwritten == nil && err != nil {
		s.export = set.export // the query was wrong; its answer is still to come
	}
	if err == nil {
		err = unwritten
	}
	if err != nil {
		return a, errors.Join(err, os.Remove(set.export))
	}
	s.Say("%s: %d rows, as %s", set.export, a.Rows, set.Format)
	return a, nil
}

// Confirm asks a question, and takes an empty answer for the default. No answer at all is
// no. Who is interrupted meanwhile is not to read from in any more.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string, byDefault bool) (bool, error) {
	fmt.Fprint(out, question)
	type reply struct {
		yes bool
		err error
	}
	came := make(chan reply, 1)
	go func() {
		yes, err := answered(in, io.Discard, byDefault)
		came <- reply{yes, err}
	}()
	select {
	case r := <-came:
		return r.yes, r.err
	case <-ctx.Done():
		fmt.Fprintln(out)
		return false, ctx.Err()
	}
}

// confirm is Confirm within a conversation, which an interrupt does not end: it is read as a key, so
// that nobody waits for a line that the editor is to have.
func (s *Shell) confirm(question string) (bool, error) {
	fmt.Fprint(s.Out, question)
	echo := io.Discard
	if s.Keys != nil {
		restore, err := s.Keys()
		if err != nil {
			return false, err
		}
		defer fmt.Fprintln(s.Out)
		defer restore()
		echo = s.Out
	}
	return answered(s.In, echo, true)
}

// What keys are where a terminal makes nothing of them.
const (
	interruptKey = 3 // ^C
	endKey       = 4 // ^D
	eraseKey     = 0x7f
)

// answered reads one line, and no byte more: the rest is the next one's.
func answered(in io.Reader, echo io.Writer, byDefault bool) (bool, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		switch {
		case err != nil && err != io.EOF:
			return false, err
		case n == 0 || b[0] == interruptKey || b[0] == endKey:
			return false, nil
		case b[0] == '\n' || b[0] == '\r':
			text := strings.ToLower(strings.TrimSpace(string(line)))
			return text == "" && byDefault || text == "y" || text == "yes", nil
		case b[0] == eraseKey && len(line) > 0:
			line = line[:len(line)-1]
			fmt.Fprint(echo, "\b \b")
		case len(line) < maxLine && b[0] >= ' ' && b[0] != eraseKey:
			line = append(line, b[0])
			echo.Write(b)
		}
	}
}

// split parts a line into words, of which quotes keep spaces.
func split(line string) (words []string, err error) {
	var word []byte
	var quote byte
	begun := false
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && c == ' ':
			if begun {
				words = append(words, string(word))
			}
			word, begun = nil, false
		default:
			word, begun = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote (%c) is not closed", quote)
	}
	if begun {
		words = append(words, string(word))
	}
	return words, nil
}
