package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"wreg/synth"
)

// varying is what differs from run to run, and what stands for it, as wide: columns stay
// as they were.
var varying = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`wreg-demo-\d{10}`), "wreg-demo-0000000000"},                          // that of the demo
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`), "2026-11-28 07:06"},                     // when
	{regexp.MustCompile(`Done in \d\.\d s`), "Done in 0.0 s"},                                 // how long
	{regexp.MustCompile(`  0%  .* of 1 TiB  .*/s  .* left`), "  0%  N of 1 TiB  N/s  N left"}, // how far, the end of its line
}

// here is the temporary folder under a name that is the same in every run.
const here = "/proc/self/cwd"

const longName = "a-fine-tune-with-a-name-of-a-hundred-characters-and-more-as-some-on-the-hub-have-it-one-after-another-v2"

// multiplexer is a tmux server of this test's own.
type multiplexer struct {
	t        *testing.T
	dir      string
	sessions int
}

func newMultiplexer(t *testing.T, dir string) *multiplexer {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatalf("the screens are drawn by tmux: install the package tmux, or run make setup, which does (%v)", err)
	}
	m := &multiplexer{t: t, dir: dir}
	t.Cleanup(func() {
		c := exec.Command("tmux", "-S", "tmux", "kill-server")
		c.Dir = dir
		c.Run()
	})
	m.tmux("new-session", "-d", "-s", "base", "cat") // the server ends with its last session
	return m
}

func (m *multiplexer) tmux(args ...string) string {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), "tmux", append([]string{"-u", "-S", "tmux", "-f", "/dev/null"}, args...)...)
	c.Dir = m.dir
	out, err := c.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// start runs wreg on a terminal of 24 lines, and gives the session it has; what it ends with is
// in a file, status. LC_ALL is for tmux, to which a name is else bytes.
func (m *multiplexer) start(columns int, args ...string) (session string) {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.sessions++
	session = fmt.Sprint("s", m.sessions)
	m.tmux(append([]string{"new-session", "-d", "-s", session, "-x", strconv.Itoa(columns), "-y", "24", "-c", m.dir,
		"-e", "WREG_AS_MAIN=1", "-e", "WREG_REGISTRY=r.db", "-e", "HOME=" + m.dir, "-e", "TMPDIR=" + here, "-e", "PAGER=", "-e", "WREG_PAGER=", "-e", "NO_COLOR=", "-e", "TZ=UTC",
		"sh", "-c", `stty -echoctl; trap : INT; "$0" "$@"; echo $? >status; tmux -S tmux wait-for -S ` + session + `; trap - INT; exec cat`, self}, args...)...)
	return session
}

// screen is all that was written, with what scrolled away, and checks that no line was too
// long for the terminal, and none is blank without a reason.
func (m *multiplexer) screen(session string) string {
	m.t.Helper()
	at := strings.Fields(m.tmux("display-message", "-p", "-t", session, "#{history_size} #{cursor_y} #{cursor_x}"))
	above, _ := strconv.Atoi(at[0])
	below, _ := strconv.Atoi(at[1])
	lines := func(how ...string) []string {
		all := strings.Split(m.tmux(append([]string{"capture-pane", "-p", "-S", "-", "-t", session}, how...)...), "\n")
		for i := range all {
			all[i] = strings.TrimRight(all[i], " ")
		}
		return all
	}
	shown := lines()
	if joined := lines("-J"); len(joined) != len(shown) {
		for i, l := range joined {
			if i >= len(shown) || l != shown[i] {
				m.t.Errorf("the terminal broke a line: %q", l)
				break
			}
		}
	}
	if at[2] != "0" {
		return strings.Join(shown[:above+below+1], "\n") + "\n" // not at its end
	}
	shown = shown[:above+below]
	for i, l := range shown {
		if l == "" && (i == 0 || i == len(shown)-1 || shown[i-1] == "") {
			m.t.Errorf("line %d of %d is blank", i+1, len(shown))
		}
	}
	return strings.Join(shown, "\n") + "\n"
}

// compare holds a screen against the one that was looked at.
func (m *multiplexer) compare(file, now string) {
	m.t.Helper()
	for _, v := range varying {
		now = v.what.ReplaceAllString(now, v.as)
	}
	if *update {
		if err := os.WriteFile(file, []byte(now), 0o666); err != nil {
			m.t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(file); err != nil || string(was) != now {
		m.t.Errorf("%s is not as it was, %v; -update writes it:\n%s", file, err, now)
	}
}

// What a terminal shows at 80 and 120 columns, as it was looked at once: testdata/tmux. The
// terminal breaks no line, and no blank line is astray.
func TestScreensInTmux(t *testing.T) {
	screens, err := filepath.Abs("testdata/tmux")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := newMultiplexer(t, dir)
	write := func(name string, seed uint64, without ...string) {
		t.Helper()
		g := *golden
		g.Seed += seed
		g.Source = g.Without(without...)
		if err := g.Write(filepath.Join(dir, name), synth.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	write("hunyuan", 0)
	write("tuned", 1)
	write("broken", 0, "layers.3.mlp.experts.2.up_proj", "model.norm")
	write(longName, 0)
	write("模型层层的很长的名字", 0, "layers.1.self_attn.o_proj")
	if err := zeros(filepath.Join(dir, "sparse.safetensors"), 1<<40); err != nil {
		t.Fatal(err)
	}

	for _, columns := range []int{80, 120} {
		at := func(name string) string { return filepath.Join(screens, fmt.Sprintf("%s-%d.txt", name, columns)) }
		os.Remove(filepath.Join(dir, "r.db"))
		for _, s := range []struct {
			name   string
			args   []string
			status int
		}{
			{"ingest", []string{"ingest", here + "/hunyuan"}, exitFine},
			{"ingest-broken", []string{"ingest", here + "/broken"}, exitFine},
			{"ingest-more", []string{"ingest", here + "/tuned", here + "/" + longName, here + "/模型层层的很长的名字"}, exitFine},
			{"ls", []string{"ls"}, exitFine},
			{"show", []string{"show", "hunyuan"}, exitFine},
			{"show-broken", []string{"show", "broken"}, exitFine},
			{"show-long", []string{"show", longName}, exitFine},
			{"coverage", []string{"coverage", "broken"}, exitFindings},
			{"stats", []string{"stats", "hunyuan"}, exitFine},
			{"diff", []string{"diff", "hunyuan", "broken"}, exitFindings},
			{"diff-values", []string{"diff", "hunyuan", "tuned", "--values"}, exitFindings},
			{"missing", []string{"query", "missing mlp.switch_mlp.* in broken"}, exitFine},
			{"dry-run", []string{"export", "hunyuan", "--out", "mlx", "--dry-run", "-j", "2"}, exitFine},
			{"refused", []string{"export", "broken", "--out", "mlx"}, exitTrouble},
			{"export", []string{"export", "hunyuan", "--out", fmt.Sprint("mlx", columns)}, exitFine},
			{"verify", []string{"verify", "hunyuan"}, exitFine},
			{"verify-export", []string{"verify", fmt.Sprint(here+"/mlx", columns)}, exitFine},
		} {
			session := m.start(columns, s.args...)
			m.tmux("wait-for", session)
			m.ended(s.name, s.status)
			m.compare(at(s.name), strings.ReplaceAll(m.screen(session), fmt.Sprint("mlx", columns), "mlx"))
			m.tmux("kill-session", "-t", session)
		}
		m.compare(at("demo"), m.demo(columns))
		m.progress(columns, at)
	}
}

// ended checks the exit status of the last command.
func (m *multiplexer) ended(name string, want int) {
	m.t.Helper()
	if got, err := os.ReadFile(filepath.Join(m.dir, "status")); err != nil || strings.TrimSpace(string(got)) != strconv.Itoa(want) {
		m.t.Errorf("%s: exit status %s, want %d, %v", name, got, want, err)
	}
}

// demo is the screen of the demo whose temporary folder has a name of ten digits, as three of
// four have: which lines are broken depends on it.
func (m *multiplexer) demo(columns int) string {
	m.t.Helper()
	for {
		session := m.start(columns, "demo")
		m.tmux("wait-for", session)
		m.ended("demo", exitFine)
		out := m.screen(session)
		m.tmux("kill-session", "-t", session)
		if regexp.MustCompile(`wreg-demo-\d{10}\b`).MatchString(out) || m.t.Failed() {
			return out
		}
	}
}

// progress is a terabyte of zeros on its way in: the bar, and what stays when it is interrupted.
func (m *multiplexer) progress(columns int, at func(string) string) {
	m.t.Helper()
	session := m.start(columns, "ingest", "sparse.safetensors")
	var frame string
	for end := time.Now().Add(patienceOfTests); !strings.Contains(frame, " left"); {
		if frame = m.screen(session); time.Now().After(end) {
			m.t.Fatalf("no bar: %q", frame)
		}
	}
	m.compare(at("ingest-progress"), frame)
	m.tmux("send-keys", "-t", session, "C-c")
	m.tmux("wait-for", session)
	m.ended("interrupted", exitTrouble)
	m.compare(at("ingest-interrupted"), m.screen(session))
	m.tmux("kill-session", "-t", session)
}

// zeros writes a checkpoint of one tensor that takes no room on disk.
func zeros(path string, size int64) error {
	header := fmt.Appendf(nil, `{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size)
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	return errors.Join(os.WriteFile(path, head, 0o600), os.Truncate(path, int64(len(head))+size))
}
