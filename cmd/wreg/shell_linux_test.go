package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialogue is a command on a terminal of its own that is typed to.
type dialogue struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	more   chan struct{} // something was written
	mu     sync.Mutex
	all    []byte
	seen   int // what expect has been through, of what is shown
	drawn  int // where the last drawing of the line begins
}

// patienceOfTests ends a test that waits for what never comes.
const patienceOfTests = 30 * time.Second

// converse runs this test's binary, or another program, on a terminal.
func converse(t *testing.T, program string, args ...string) *dialogue {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	resize(t, slave, 80)
	d := &dialogue{t: t, master: master, more: make(chan struct{}, 1)}
	d.cmd = exec.Command(program, args...)
	d.cmd.Env = append(os.Environ(), "WREG_AS_MAIN=1", "TERM=xterm", "INPUTRC=/dev/null")
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = slave, slave, slave
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() })
	go func() {
		defer close(d.more)
		for buf := make([]byte, 4096); ; {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			for range bytes.Count(buf[:n], []byte("\x1b[6n")) { // where is the cursor?
				master.WriteString("\x1b[1;1R")
			}
			d.mu.Lock()
			d.all = append(d.all, buf[:n]...)
			d.mu.Unlock()
			select {
			case d.more <- struct{}{}:
			default:
			}
		}
	}()
	return d
}

// expect waits until the terminal has shown a text since the last one that was expected.
func (d *dialogue) expect(text string) {
	d.t.Helper()
	limit := time.NewTimer(patienceOfTests)
	defer limit.Stop()
	for ended := false; ; {
		d.mu.Lock()
		shown := escapes.ReplaceAllString(string(d.all), "")
		d.mu.Unlock()
		if at := strings.Index(shown[d.seen:], text); at >= 0 {
			d.seen += at + len(text)
			return
		}
		if ended {
			d.t.Fatalf("%q was not shown, but %q", text, shown[d.seen:])
		}
		select {
		case _, open := <-d.more:
			ended = !open
		case <-limit.C:
			ended = true
		}
	}
}

// shown checks that a text was shown since the line was last typed to.
func (d *dialogue) shown(text string) {
	d.t.Helper()
	d.mu.Lock()
	all := escapes.ReplaceAllString(string(d.all), "")
	d.mu.Unlock()
	if now := all[d.drawn:d.seen]; !strings.Contains(now, text) {
		d.t.Fatalf("%q was not shown, but %q", text, now)
	}
}

// prompt waits until a line can be typed: its editor has asked where the cursor is, and
// shows it.
func (d *dialogue) prompt(text string) {
	d.t.Helper()
	d.expect(text)
	d.expect("\x1b[?25h")
}

// key types keys one by one, each once the line is drawn that the one before it made: the
// editor takes what comes together with the cursor's place for part of that.
func (d *dialogue) key(keys ...string) {
	d.t.Helper()
	for _, k := range keys {
		d.drawn = d.seen
		d.send(k)
		d.expect("\x1b[?25h")
	}
}

// line types a line and ends it.
func (d *dialogue) line(text string) {
	d.t.Helper()
	d.key(strings.Split(text, "")...)
	d.send("\r")
}

func (d *dialogue) send(keys string) {
	d.t.Helper()
	if _, err := d.master.WriteString(keys); err != nil {
		d.t.Fatal(err)
	}
}

// status is what the command ends with.
func (d *dialogue) status() int {
	d.t.Helper()
	done := make(chan error, 1)
	go func() { done <- d.cmd.Wait() }()
	select {
	case <-done:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(patienceOfTests):
		d.t.Fatalf("the command does not end: %q", d.all)
		return -1
	}
}

// The shell completes while one types and on TAB, answers, asks back, shows where a query is
// wrong, and keeps what was typed.
func TestShellOnATerminal(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := converse(t, exe, "shell")
	d.prompt("wreg> ")
	d.key(".", "u")
	d.shown("the model that queries are about")
	d.key("s", "\t", " ", "h")
	d.shown("94 tensors, layout hf")
	d.line("y")
	d.prompt("hy> ")
	d.key(strings.Split("missing mlp.sw", "")...)
	d.shown("mlp.switch_mlp  -- expected")
	d.key("\t")
	d.line(".*")
	d.expect("can be stacked from")
	d.prompt("hy> ")
	d.key(strings.Split("find * where absm", "")...)
	d.shown("greatest magnitude of a finite value")
	d.key("\t")
	d.key(strings.Split(" > 1 and dtyp", "")...)
	d.key("\t")
	d.key(strings.Split(" = b", "")...)
	d.key("\t")
	d.send("\r")
	d.expect("no rows")
	d.prompt("hy> ")
	d.line("find q_proj")
	d.expect("4 rows match: find q_proj.*. Run that? [Y/n] ")
	d.send("\r")
	d.expect("self_attn.q_proj.weight")
	d.prompt("hy> ")
	for _, no := range []string{"\x03", "\x04", "no\r", "yn\x7f\x7fn\r"} { // ^C ends the question, not the shell, and takes no key of the next line
		d.line("find q_proj")
		d.expect("4 rows match: find q_proj.*. Run that? [Y/n] ")
		d.send(no)
		d.prompt("hy> ")
	}
	d.line("find * where layr < 4")
	d.expect("  find * where layr < 4\r\n               ^")
	d.prompt("hy> ")
	d.key("h", "a")
	d.send("\x03")
	d.prompt("hy> ")
	d.line(".use")
	d.prompt("wreg> ")
	d.send("\x04")
	if got := d.status(); got != exitFine {
		t.Errorf("exit status %d", got)
	}
	st, err := os.Stat("data/wreg/history")
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("history: %v, %v", st, err)
	}
	data, err := os.ReadFile("data/wreg/history")
	if want := ".use hy\nmissing mlp.switch_mlp.*\nfind * where absmax > 1 and dtype = bf16\nfind q_proj\nfind * where layr < 4\n.use\n"; err != nil || string(data) != want {
		t.Errorf("history: %q, %v", data, err)
	}
	d = converse(t, exe, "shell", "-m", "ll")
	d.prompt("ll> ")
	d.key("\x1b[A", "\x1b[A", "\x1b[A") // up
	d.send("\r")
	d.expect("2 rows match: find q_proj.*. Run that? [Y/n] ")
	d.send("n\r")
	d.prompt("ll> ")
	d.line(".quit")
	if got := d.status(); got != exitFine {
		t.Errorf("exit status %d", got)
	}
}

// Nothing is in colour, and no line is edited, on a terminal that cannot.
func TestShellOnADumbTerminal(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := converse(t, "/bin/sh", "-c", "TERM=dumb exec \"$0\" shell", exe)
	d.send("find lm_head.* in hy\nfind norm.* in ll\n.quit\n")
	d.expect("model.norm.weight")
	if got := d.status(); got != exitFine || bytes.ContainsRune(d.all, '\x1b') {
		t.Errorf("exit status %d, %q", got, d.all)
	}
}

// A signal to end is obeyed at the prompt, too, and an interrupt where lines are not
// edited; the terminal is left as it was.
func TestShellEndsAtItsPrompt(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := converse(t, exe, "shell")
	before, err := unix.IoctlGetTermios(int(d.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	d.prompt("wreg> ")
	d.cmd.Process.Signal(syscall.SIGTERM)
	if got := d.status(); got != 2 {
		t.Errorf("status %d", got)
	}
	if after, err := unix.IoctlGetTermios(int(d.master.Fd()), unix.TCGETS); err != nil || after.Lflag != before.Lflag || after.Iflag != before.Iflag {
		t.Errorf("the terminal is left as %+v, was %+v (%v)", after, before, err)
	}
	d = converse(t, "/usr/bin/env", "TERM=dumb", exe, "shell", "-m", "ll")
	d.send("find norm.*\n")
	d.expect("model.norm.weight")
	d.send("\x03")
	if got := d.status(); got != 2 {
		t.Errorf("status %d", got)
	}
}

// wreg alone says on a terminal how to begin, and every command that it names runs.
func TestHowToStart(t *testing.T) {
	twoModels(t)
	begin := func() string {
		slave, read := terminal(t, 80)
		if got := run(context.Background(), nil, strings.NewReader(""), slave, slave); got != exitFine {
			t.Errorf("exit status %d", got)
		}
		return escapes.ReplaceAllString(strings.ReplaceAll(read(), "\r\n", "\n"), "")
	}
	out := begin()
	if n := strings.Count(out, "\n"); !strings.Contains(out, "2 models") || n > 12 {
		t.Errorf("%d lines: %s", n, out)
	}
	ran := 0
	for line := range strings.Lines(out) {
		command, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "wreg "), "  ")
		if !strings.HasPrefix(line, "  wreg ") || command == "shell" {
			continue
		}
		ran++
		sh := exec.Command("/bin/sh", "-c", "wreg() { \"$EXE\" \"$@\"; }; wreg "+command)
		exe, _ := os.Executable()
		sh.Env = append(os.Environ(), "WREG_AS_MAIN=1", "EXE="+exe)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Errorf("wreg %s: %v: %s", command, err, out)
		}
	}
	if ran != 3 {
		t.Errorf("%d commands in %s", ran, out)
	}
	t.Setenv("WREG_REGISTRY", filepath.Join(t.TempDir(), "none.db"))
	if out := begin(); !strings.Contains(out, "no model yet") || !strings.Contains(out, "wreg demo") {
		t.Errorf("without a registry: %s", out)
	}
	var piped strings.Builder
	if got := run(context.Background(), nil, strings.NewReader(""), &piped, io.Discard); got != exitFine || !strings.Contains(piped.String(), "The main job:") {
		t.Errorf("in a pipe: %s", piped.String())
	}
}

// bash completes queries inside of quotes, with what each word means, and what it parts at
// @ and =, with nothing but the script; nothing in the line runs.
func TestBashCompletesInQuotes(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	if got := run(t.Context(), []string{"completion", "bash"}, strings.NewReader(""), &script, io.Discard); got != exitFine {
		t.Fatal(got)
	}
	rc := "wreg() { WREG_AS_MAIN=1 " + exe + " \"$@\"; }\nbind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\nPS1='$ '\n" + script.String()
	if err := os.WriteFile("rc", []byte(rc), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ typed, want string }{
		{"wreg query 'find * where dty\t", "pe"},
		{"wreg query 'find * where dtype = b\t", "f16"},
		{"wreg query \"find * where layer < 4 and shape[0] >= ex\t", "pert"},
		{"wreg query 'find mlp.shared\t", "_mlp"},
		{"wreg query 'find * where abs\t\t", "find * where absmax  (greatest magnitude of a finite value)"},
		{"wreg query 'find * in hy@\t", "1"},
		{"wreg query 'find $(touch pwned) in h\t", "y"},
		{"wreg query -m 'h\t", "y"},
		{"wreg show hy@\t", "1"},
		{"wreg show hy model.norm.\t", "weight"},
		{"wreg export --target=m\t", "lx"},
		{"wreg query find\\ \\*\\ whe\t", "re"},
	} {
		d := converse(t, "bash", "--noprofile", "--rcfile", "rc", "-i")
		d.expect("$ ")
		d.send(c.typed)
		d.expect(strings.TrimRight(c.typed, "\t"))
		d.expect(c.want)
		d.send("\x15exit 0\r") // in place of the line
		if got := d.status(); got != 0 {
			t.Errorf("%q: exit status %d", c.typed, got)
		}
		if exists("pwned") {
			t.Fatalf("%q ran", c.typed)
		}
	}
}

// On a terminal rm says what goes and asks; without a clear yes nothing goes.
func TestRemoveAsks(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	models := func() string {
		var out strings.Builder
		if got := run(t.Context(), []string{"query", "find * in * group by model", "--format", "tsv"}, strings.NewReader(""), &out, &out); got != exitFine {
			t.Fatal(out.String())
		}
		return out.String()
	}
	if got := run(t.Context(), []string{"ingest", "hy", "--rehash", "--quiet", "--name", "hy"}, strings.NewReader(""), io.Discard, io.Discard); got != exitFine {
		t.Fatal(got)
	}
	before := models()
	for _, answer := range []string{"\r", "n\r", "nonsense\r", "\x04"} {
		d := converse(t, exe, "rm", "hy", "ll@1")
		d.expect("hy@1: 94 tensors, 819 KiB in ")
		d.expect("ll@1: 21 tensors")
		d.expect("? [y/N] ")
		d.send(answer)
		d.expect("nothing was removed")
		if got := d.status(); got != exitFine || models() != before {
			t.Errorf("%q: exit status %d, %s", answer, got, models())
		}
	}
	d := converse(t, exe, "rm", "hy")
	d.expect("? [y/N] ")
	d.send("\x03")
	d.expect("interrupted")
	if got := d.status(); got != exitTrouble || models() != before {
		t.Errorf("^C: exit status %d, %s", got, models())
	}
	d = converse(t, exe, "rm", "nosuch", "hy")
	d.expect("nosuch")
	if got := d.status(); got != exitTrouble || models() != before {
		t.Errorf("exit status %d, %s", got, models())
	}
	d = converse(t, exe, "rm", "hy")
	d.expect("? [y/N] ")
	d.send("y\r")
	d.expect("hy@1: removed")
	if got := d.status(); got != exitFine || strings.Contains(models(), "hy") {
		t.Errorf("exit status %d, %s", got, models())
	}
	d = converse(t, exe, "rm", "ll", "-y")
	d.expect("ll: removed")
	if got := d.status(); got != exitFine {
		t.Errorf("exit status %d", got)
	}
}

// What is longer than the terminal goes through the pager, nothing else does.
func TestPager(t *testing.T) {
	twoModels(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	long := []string{"query", "find * in hy", "--expand"}
	for _, c := range []struct {
		name, pager, own string
		args             []string
		paged            bool
		shown            string
	}{
		{"long", "cat > 'pa ged'", "-", long, true, ""},
		{"own pager", "false", "cat > 'pa ged'", long, true, ""},
		{"none", "cat > 'pa ged'", "", long, false, "model.norm.weight"},
		{"cat", "cat", "-", long, false, "model.norm.weight"},
		{"not there", "nosuchpager", "-", long, false, "model.norm.weight"},
		{"short", "cat > 'pa ged'", "-", []string{"ls"}, false, "hy@1"},
		{"flag", "cat > 'pa ged'", "-", append([]string{"--no-pager"}, long...), false, "model.norm.weight"},
		{"data", "cat > 'pa ged'", "-", append([]string{"--format", "tsv"}, long...), false, "model.norm.weight"},
		{"help", "cat > 'pa ged'", "-", []string{"help", "query"}, true, ""},
		{"left early", "head -n 1", "-", long, false, "path"},
	} {
		os.Remove("pa ged")
		t.Setenv("PAGER", c.pager)
		t.Setenv("WREG_PAGER", c.own)
		if c.own == "-" {
			os.Unsetenv("WREG_PAGER")
		}
		d := converse(t, exe, c.args...)
		if c.shown != "" {
			d.expect(c.shown)
		}
		if got := d.status(); got != exitFine {
			t.Errorf("%s: exit status %d", c.name, got)
		}
		text, err := os.ReadFile("pa ged")
		if (err == nil) != c.paged || c.paged && bytes.Count(text, []byte("\n")) < 24 {
			t.Errorf("%s: paged: %v, %d bytes", c.name, err, len(text))
		}
		for line := range strings.Lines(escapes.ReplaceAllString(string(text), "")) {
			if columnsOf(strings.TrimSuffix(line, "\n")) > 80 && !strings.HasPrefix(line, "    ") {
				t.Errorf("%s: %q", c.name, line)
			}
		}
	}
}
